"""The ``isrbench fetch`` verbs."""

from __future__ import annotations

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
    from harness.metrics import METRICS
    from harness.terminal import out
    from harness.weights import fetch, missing

    for name in metric or list(METRICS):
        files = fetch(METRICS.get(name))
        assert not missing(METRICS.get(name))
        out.print(f"{name}: " + (", ".join(map(str, files)) if files else "nothing to fetch"), markup=False)


@fetch_app.command()
def datasets(
    dataset: Annotated[str, typer.Option(help="A dataset's id or card.")],
    data_root: DataRoot = None,
    accept_licence: Annotated[bool, typer.Option(help="Accept a non-commercial licence.")] = False,
) -> None:
    """Download a data set.

    Example: `isrbench fetch datasets --dataset RealSR --accept-licence`
    """
    from harness.cards import find_card
    from harness.fetch import fetch_dataset
    from harness.terminal import out

    out.print(str(fetch_dataset(find_card(dataset), data_root, accept_licence)), markup=False)
