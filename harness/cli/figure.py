"""``isrbench figure``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.api.layout import DEFAULT_FIGURE, FigureLayout
from isrbench.harness.cli.arguments import IMAGES, NOTHING, RESULTS, RUNS_DIR, Runs, RunsDir
from isrbench.harness.cli.grouped import grouped
from isrbench.harness.errors import UserError


@grouped
def figure(
    dataset: Annotated[
        str, typer.Option(help="A set that was run: its id, or its title in reports.", rich_help_panel=IMAGES)
    ],
    out: Annotated[Path, typer.Option(help="FILE.pdf, .png, .svg, .jpg or .tex", rich_help_panel=RESULTS)],
    runs: Runs = None,
    box: Annotated[
        list[str],
        typer.Option(
            metavar="X,Y,SIDE", help="A square in HR pixels; may be repeated. [default: chosen]", rich_help_panel=IMAGES
        ),
    ] = NOTHING,
    layout: FigureLayout = DEFAULT_FIGURE,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.", rich_help_panel=RESULTS)
    ] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Draw images with a box, and what every method made of it: the figure of a super-resolution paper.

    Example: `isrbench figure --dataset RealSR --out figure.pdf --methods bicubic,mor --metrics psnr,lpips`
    """
    from isrbench.harness.cli.report import report_writer
    from isrbench.harness.cli.terminal import show_path, show_text

    shown = report_writer("isrbench.figures")(
        runs_dir=runs_dir, dataset=dataset, out=out, runs=runs or (), boxes=[_square(text) for text in box],
        layout=layout, overwrite=overwrite,
    )  # fmt: skip
    for line in shown:
        show_text(line)
    show_path(out)


def _square(text: str) -> tuple[int, int, int]:
    """Read ``X,Y,SIDE``.

    Raises:
        UserError: If it is not three whole numbers.
    """
    parts = text.split(",")
    try:
        left, top, side = map(int, parts)
    except ValueError:
        raise UserError(f"--box {text} is not three whole numbers", "write --box 100,40,96") from None
    return left, top, side
