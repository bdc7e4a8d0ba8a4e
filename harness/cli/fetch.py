"""The ``isrbench fetch`` verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

fetch_app = typer.Typer(no_args_is_help=True, help="Download metric weights or data sets.")

DataRoot = Annotated[
    Path | None, typer.Option(help="The set's own folder, or one above it. [default: $ISRBENCH_DATA, ./data]")
]
ALL: list[str] = []


@fetch_app.command()
def weights(
    metric: Annotated[list[str], typer.Option(help="A metric's id; may be repeated. [default: all]")] = ALL,
) -> None:
    """Download metric weights to torch's hub folder.

    Example: `isrbench fetch weights --metric lpips --metric musiq`
    """
    from isrbench.harness.api.registry import metrics
    from isrbench.harness.cli.terminal import err, out
    from isrbench.harness.errors import UserError
    from isrbench.harness.metrics.weights import fetch, location, missing

    working, broken = ({name: metrics().get(name) for name in metric}, {}) if metric else metrics().load_all()
    for error in broken.values():
        err.print(f"warning: {error.message}", markup=False, soft_wrap=True)
    with _download_bars() as progress:
        for name, chosen in working.items():
            files = fetch(chosen, progress)
            absent = missing(chosen)
            if absent:
                raise UserError(
                    f"{location(absent[0])} was fetched, but is gone or not as published", "run the same command again"
                )
            out.print(f"{name}: " + (", ".join(map(str, files)) if files else "nothing to fetch"), markup=False)


@fetch_app.command()
def datasets(
    dataset: Annotated[str, typer.Option(help="A dataset's id or card.")],
    data_root: DataRoot = None,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", "--accept-licence", help="Accept a non-commercial license.")
    ] = False,
) -> None:
    """Download a data set.

    Example: `isrbench fetch datasets --dataset RealSR --accept-license`
    """
    from isrbench.harness.cli.terminal import out
    from isrbench.harness.data.catalogue import find_card
    from isrbench.harness.data.fetch import fetch_dataset

    out.print(str(fetch_dataset(find_card(dataset), data_root, accept_license)), markup=False)


@contextmanager
def _download_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a ``(file, bytes done, bytes in all or 0)`` callback that draws a bar for each download."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from isrbench.harness.cli.terminal import err

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, transient=True) as bars:
        tasks = {}

        def update(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=total or None)
            bars.update(tasks[file], completed=done)

        yield update
