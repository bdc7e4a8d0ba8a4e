"""``isrbench restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.api.steps import steps
from isrbench.harness.cli.arguments import NOTHING, RESULTS, Device, MethodOrDefault, Options, Seed


def restore(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="An image, or a folder of images.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="A .png, .jpg, .webp or .tif file; or a folder, which gets PNGs.")
    ],
    method: MethodOrDefault = None,
    option: Options = NOTHING,
    scale: Annotated[
        float, typer.Option(metavar="N", help="How many times larger, such as 2 or 1.5.", rich_help_panel=RESULTS)
    ] = 4,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing files, never an original.", rich_help_panel=RESULTS),
    ] = False,
) -> None:
    """Restore your own pictures; colour profile, EXIF and transparency are kept, originals stay as they are.

    For example:

    `isrbench restore photo.jpg large.jpg`

    `isrbench restore photos/ restored/ --method bicubic --scale 2`
    """
    from isrbench.harness.api.options import split_options
    from isrbench.harness.cli.terminal import show_path, show_warning
    from isrbench.harness.cli.waiting import progress_bars
    from isrbench.harness.engine.restore_files import restore as restore_images

    options = split_options(option)
    with progress_bars(quiet=False) as progress:
        restored = restore_images(
            source, method, to=target, options=options, scale=scale, seed=seed, device=device, overwrite=overwrite,
            progress=progress,
        )  # fmt: skip
    for file, failure in restored.failed.items():
        show_warning(f"{file} could not be restored: {failure.message}", failure.fix)
    for path in restored.written:
        show_path(path)
    tried = len(restored.written) + len(restored.failed)
    if tried > 1:
        steps.info("%d of %d pictures restored", len(restored.written), tried)
    raise typer.Exit(1 if restored.failed else 0)
