"""The verbs that read stored runs: ``isrbench export`` and ``isrbench report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunsDir = Annotated[Path, typer.Option(help="Where runs are kept.")]
RUNS = Path("runs")


def report(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids, folders or `latest`.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write. [default: RUNS_DIR/report]")] = None,
    baseline: Annotated[str | None, typer.Option(help="Compare with this method. [default: bicubic]")] = None,
    strata: Annotated[str | None, typer.Option(help="quantile:3, edges:0.3,0.6, blur:quantile:2, level, ...")] = None,
    reported: Annotated[bool, typer.Option(help="Add what papers report, set apart.")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Turn stored runs into tables, plots and a page; without RUN, the newest run of every method and dataset.

    Example: `isrbench report --out report --baseline bicubic --reported`
    """
    from harness.evaluate import writer
    from harness.terminal import out as terminal

    page = writer()(runs_dir, runs or (), out, baseline, strata, reported)
    terminal.print(str(page), markup=False, soft_wrap=True)


def export(
    run: Annotated[str, typer.Argument(help="A run's id, its folder, or `latest`.")],
    to: Annotated[Path, typer.Option(help="FILE.csv, .parquet or .jsonl; with --hub-card a folder.")],
    table: Annotated[str, typer.Option(help="scores, images or routing")] = "scores",
    hub_card: Annotated[
        bool, typer.Option("--hub-card", help="Write a Hugging Face model-index block and a bibliography instead.")
    ] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Write a run's rows to a file, or what a model card needs.

    Examples:
    `isrbench export latest --table scores --to scores.csv`

    `isrbench export latest --hub-card --to publish/`
    """
    from harness.export import export as write
    from harness.export import table_of
    from harness.frames import load_frames
    from harness.store import Store
    from harness.terminal import out

    if hub_card:
        from harness.evaluate import writer

        for path in writer("isrbench.hub_cards")(runs_dir, [run], to):
            out.print(str(path), markup=False, soft_wrap=True)
        return
    store = Store(runs_dir, create=False)
    frame = table_of(load_frames(store, [store.find_run(run)]), table)
    write(frame, to)
    out.print(f"{len(frame)} rows of {table} in {to}", markup=False, soft_wrap=True)
