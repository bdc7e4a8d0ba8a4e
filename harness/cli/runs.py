"""The verbs that read stored runs: ``isrbench export`` and ``isrbench report``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.errors import UserError

RunsDir = Annotated[Path, typer.Option(help="Where runs are kept.")]
RUNS = Path("runs")


def report(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids, folders or `latest`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write. [default: RUNS_DIR/report]")] = None,
    baseline: Annotated[str | None, typer.Option(help="Compare with this method. [default: bicubic]")] = None,
    strata: Annotated[str | None, typer.Option(help="quantile:3, edges:0.3,0.6, blur:quantile:2, level, ...")] = None,
    reported: Annotated[bool, typer.Option(help="Add what papers report, set apart.")] = False,
    training: Annotated[
        list[Path] | None, typer.Option(help="A training run's curves.csv to draw; repeatable.")
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Turn stored runs into tables, plots and a page; without RUN, the newest run of every method and dataset.

    Example: `isrbench report --out report --baseline bicubic`
    """
    from isrbench.harness.cli.terminal import out as terminal
    from isrbench.harness.engine.evaluate import writer

    home = _home(runs or [], runs_dir)
    target = out or home / "report"

    def show(text: str) -> None:
        terminal.print(text, markup=False, highlight=False, soft_wrap=True)

    with _writing_to("--out", target):
        page = writer()(home, runs or (), target, baseline, strata, reported, training or (), show)
    terminal.print(str(page), markup=False, soft_wrap=True)


def export(
    to: Annotated[Path, typer.Option(help="FILE.csv, .parquet or .jsonl; with --hub-card a folder.")],
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids, folders or `latest`.")] = None,
    table: Annotated[str, typer.Option(help="scores, images or routing")] = "scores",
    hub_card: Annotated[
        bool, typer.Option("--hub-card", help="Write a Hugging Face model-index block and a bibliography instead.")
    ] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Write runs' rows to a file, or what a model card needs; without RUN, the newest run of every method and dataset.

    For example:

    `isrbench export latest --table scores --to scores.csv`

    `isrbench export latest --hub-card --to publish/`
    """
    from isrbench.harness.cli.terminal import out
    from isrbench.harness.store.export import export as write
    from isrbench.harness.store.export import table_of
    from isrbench.harness.store.frames import load_frames
    from isrbench.harness.store.store import Store

    if hub_card:
        from isrbench.harness.engine.evaluate import writer

        with _writing_to("--to", to):
            written = writer("isrbench.hub_cards")(_home(runs or [], runs_dir), runs or (), to)
        for path in written:
            out.print(str(path), markup=False, soft_wrap=True)
        return
    store = Store(_home(runs or [], runs_dir), create=False)
    try:
        chosen = list(dict.fromkeys(map(store.find_run, runs or ()))) or store.newest_runs()
        frame = table_of(load_frames(store, chosen), table)
    finally:
        store.close()
    write(frame, to)
    out.print(f"{len(frame)} rows of {table} in {to}", markup=False, soft_wrap=True)


def _home(runs: Sequence[str], runs_dir: Path) -> Path:
    """The runs folder to read: where the run folders among ``runs`` lie, else ``runs_dir``.

    Raises:
        UserError: If they lie in several.
    """
    from isrbench.harness.store.schema import home_of

    homes = {home for home in map(home_of, runs) if home is not None}
    if len(homes) > 1:
        raise UserError(
            f"these run folders lie in {len(homes)} runs folders: {', '.join(map(str, sorted(homes)))}",
            "report on one runs folder at a time",
        )
    return homes.pop() if homes else runs_dir


@contextmanager
def _writing_to(option: str, folder: Path) -> Iterator[None]:
    """One clear message where a folder cannot be written."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{option} {folder} is a file; a folder is wanted", f"{option} {folder.with_suffix('')}-files")
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{option} {folder} cannot be written: {error.strerror or error}", "choose a place that can be written"
        ) from error
