"""``isrbench restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import NOTHING, Device, Options, Seed


def restore(
    source: Annotated[Path, typer.Argument(metavar="INPUT")],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT")],
    method: Annotated[str, typer.Option(help="A method's id (see `list methods`), or your own model card (.toml).")],
    option: Options = NOTHING,
    scale: Annotated[int, typer.Option(help="How many times larger.")] = 4,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace existing files.")] = False,
) -> None:
    """Restore your own images: INPUT is an image or a folder of images, OUTPUT a PNG or a folder.

    Example: `isrbench restore photo.jpg large.png --method bicubic`
    """
    from isrbench.harness.api.options import split_options
    from isrbench.harness.cli.terminal import progress_bars, show_path, show_warning
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
    raise typer.Exit(1 if restored.failed else 0)
