"""``isrbench compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from isrbench.harness.cli.arguments import RUNS_DIRS, Json, RunsDirs

_LEGEND = (
    "B - A: mean paired difference on the same images, bootstrap interval.\n"
    "p: Wilcoxon signed-rank, Holm over metrics; better and worse where p < 0.05\n"
    "and means and ranks agree."
)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run (id, folder, `latest`), or a method that was run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What is compared with it.")],
    strata: Annotated[
        str | None, typer.Option(help="Also by groups of images: quantile:3, edges:0.3,0.6, blur, level, ...")
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Compare on the images that both have.")] = False,
    runs_dir: RunsDirs = RUNS_DIRS,
    json: Json = False,
) -> None:
    """Say of every metric how far B is from A on the same images, with interval and p; of methods on every set.

    For example:

    `isrbench compare bicubic mor`

    `isrbench compare bicubic-RealSR-1a2b3c4d latest --strata quantile:3`
    """
    from isrbench.harness.cli.report import report_writer
    from isrbench.harness.cli.terminal import show_json, show_rows, show_text

    pairs, left_out = report_writer("isrbench.pairs")(runs_dir, a, b, strata=strata, common=common)
    every = strata is not None
    if json:
        show_json([row for pair in pairs for row in pair.rows(every)])
        return
    for pair in pairs:
        for title, columns, rows in pair.printed(every):
            show_rows(title, columns, rows)
    show_text(_LEGEND)
    for run in left_out:
        show_text(f"left out: {run}, whose images the other has not")
