"""``isrbench merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Runs folders of other machines.")],
    into: Annotated[Path, typer.Option(help="The runs folder that they go to; made if it is not there.")],
) -> None:
    """Bring the runs of several runs folders together, rows and images; nothing is counted twice.

    For example:

    `isrbench merge from-a/runs from-b/runs --into runs`
    """
    from isrbench.harness.cli.terminal import show_aside, show_text
    from isrbench.harness.engine.merging import merge as bring_together

    done = bring_together(sources, into)
    for note in done.notes:
        show_aside(f"note: {note}")
    show_text(f"{into}: {done.runs} new runs, {done.images} images, {done.scores} scores of images that were there")
