"""Rewrites images in place as 8-bit RGB PNGs: the fix that messages of :mod:`isrbench.harness.imaging.images` name.

``isrbench tools convert FILE_OR_FOLDER...``; the originals stay beside them as hidden files.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from isrbench.harness.errors import UserError
from isrbench.harness.files import list_images
from isrbench.harness.imaging.images import read_rgb, write_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def convert(path: Path) -> Path:
    """Rewrite one image as an 8-bit RGB PNG of the same stem, so that it still belongs to the same pair.

    The original becomes the hidden file ``.NAME.original``, which data sets skip. An image that is 8-bit RGB already
    stays as it is.

    Returns:
        The PNG.

    Raises:
        UserError: If the image is damaged or has no 8-bit form, or another file has the name that it would get.
    """
    try:
        read_rgb(path)
        return path
    except UserError:
        pixels = rgb8(path)
    target, kept = path.with_suffix(".png"), path.with_name(f".{path.name}.original")
    if target.exists() and not target.samefile(path):
        raise UserError(f"{path} would become {target}, which exists already", "keep one of the two")
    if kept.exists():
        raise UserError(f"{kept} exists already, from an earlier conversion", "move it away")
    path.rename(kept)
    try:
        write_png(target, pixels)
    except BaseException:
        kept.rename(path)
        raise
    return target


def rgb8(path: Path) -> NDArray[np.uint8]:
    """Decode any image to 8-bit RGB.

    EXIF rotation is applied. 16 bits become 8: grey is divided by 257 and rounded, of colour PIL reads the upper byte.
    Grey, palette and other colour models become RGB; transparent parts are laid over white.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UserError: If the file cannot be decoded, or its values have no fixed white (floats, 32-bit integers).
    """
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be converted: {error}", "copy the file again from its source") from error
    if upright.mode == "F" or upright.mode.startswith("I"):
        return _from_deep_grey(np.asarray(upright), path)
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(upright.convert("RGB"))


def main(argv: Sequence[str] | None = None) -> int:
    """Convert the named images, and all images of the named folders; return 2 if any could not be converted."""
    parser = argparse.ArgumentParser(
        prog="isrbench tools convert", description="Rewrite images in place as 8-bit RGB PNGs"
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    code = 0
    for path in [file for place in options.paths for file in (list_images(place) if place.is_dir() else [place])]:
        try:
            log.info("%s is 8-bit RGB", convert(path))
        except UserError as error:
            log.error("error: %s", error)
            code = 2
    return code


def _from_deep_grey(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    grey = values.astype(np.float64)
    if np.issubdtype(values.dtype, np.floating) or grey.min() < 0 or grey.max() > 65535:
        raise UserError(
            f"{path} holds {values.dtype} values, so it is unknown which of them is white",
            "save it as 8 or 16 bits with the program that made it",
        )
    return np.repeat(np.rint(grey / 257).astype(np.uint8)[..., None], 3, axis=2)


if __name__ == "__main__":
    raise SystemExit(main())
