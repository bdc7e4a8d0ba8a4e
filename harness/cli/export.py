"""``isrbench export``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import RUNS_DIR, Runs, RunsDir, writing_to
from isrbench.harness.errors import UserError


def export(
    to: Annotated[
        str,
        typer.Option(help="FILE.csv, .parquet or .jsonl; with --hub-card or --images a folder. Or a URL: s3://..."),
    ],
    runs: Runs = None,
    table: Annotated[str, typer.Option(help="scores, images or routing")] = "scores",
    hub_card: Annotated[
        bool, typer.Option("--hub-card", help="Write a Hugging Face model-index block and a bibliography instead.")
    ] = False,
    images: Annotated[bool, typer.Option("--images", help="Copy the restored PNGs and the manifests instead.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Write texts such as =a to .csv as they are; else '=a, which no sheet computes."),
    ] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Write runs' rows to a file, or what a model card needs; without RUN, the newest run of every method and set.

    For example:

    `isrbench export latest --table scores --to scores.csv`

    `isrbench export latest --hub-card --to publish/`

    `isrbench export latest --images --to s3://my-bucket/results`
    """
    from isrbench.harness.cli.report import report_writer
    from isrbench.harness.cli.terminal import show_path, show_text
    from isrbench.harness.store.export import export as write
    from isrbench.harness.store.export import table_of
    from isrbench.harness.store.frames import load_frames
    from isrbench.harness.store.places import is_url, send_images
    from isrbench.harness.store.store import Store

    if hub_card and images:
        raise UserError("--hub-card and --images are two exports", "one command each")
    if hub_card:
        if is_url(to):
            raise UserError(f"--hub-card writes to a folder, not to {to}", "--to publish/, then copy what is there")
        folder = Path(to)
        with writing_to("--to", folder):
            written = report_writer("isrbench.hub_cards")(
                runs_dir=runs_dir, runs=runs or (), out=folder, overwrite=overwrite
            )
        for path in written:
            show_path(path)
        return
    with Store(_home(runs or (), runs_dir), create=False) as store:
        chosen = list(dict.fromkeys(map(store.find_run, runs or ()))) or store.newest_runs()
        if images:
            count = send_images(store, chosen, to, overwrite=overwrite)
            show_text(f"{count} images of {len(chosen)} runs in {to}")
            return
        frame = table_of(load_frames(store, chosen), table)
    write(frame, to, overwrite=overwrite, raw=raw)
    show_text(f"{len(frame)} rows of {table} in {to}")


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
            "export the runs of one runs folder at a time",
        )
    return homes.pop() if homes else runs_dir
