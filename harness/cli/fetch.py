"""``isrbench fetch weights`` and ``isrbench fetch datasets``."""

from __future__ import annotations

from typing import Annotated

import typer

from isrbench.harness.cli.arguments import NOTHING, AcceptLicense, DataRoot
from isrbench.harness.errors import UserError

fetch_app = typer.Typer(no_args_is_help=True, help="Download metric weights or data sets.")


@fetch_app.command()
def weights(
    metric: Annotated[list[str], typer.Option(help="A metric's id; may be repeated. [default: all]")] = NOTHING,
) -> None:
    """Download metric weights to torch's hub folder.

    Example: `isrbench fetch weights --metric lpips --metric musiq`
    """
    from isrbench.harness.api.registry import metrics
    from isrbench.harness.cli.terminal import download_bars, show_text, show_warning
    from isrbench.harness.metrics.weights import fetch, location, missing

    working, broken = ({name: metrics().get(name) for name in metric}, {}) if metric else metrics().load_all()
    for error in broken.values():
        show_warning(error.message, error.fix)
    with download_bars() as progress:
        for name, chosen in working.items():
            files = fetch(chosen, progress)
            absent = missing(chosen)
            if absent:
                raise UserError(
                    f"{location(absent[0])} was fetched, but is gone or not as published", "run the same command again"
                )
            show_text(f"{name}: " + (", ".join(map(str, files)) if files else "nothing to fetch"))


@fetch_app.command()
def datasets(
    dataset: Annotated[str, typer.Option(help="A dataset's id or card.")],
    data_root: DataRoot = None,
    accept_license: AcceptLicense = False,
) -> None:
    """Download a data set.

    Example: `isrbench fetch datasets --dataset RealSR --accept-license`
    """
    from isrbench.harness.cli.terminal import show_path
    from isrbench.harness.data.catalogue import find_card
    from isrbench.harness.data.fetch import fetch_dataset

    show_path(fetch_dataset(find_card(dataset), data_root, accept_license))
