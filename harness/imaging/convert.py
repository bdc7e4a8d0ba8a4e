"""Rewrites images in place as 8-bit RGB PNGs: the fix that messages of :mod:`isrbench.harness.imaging.images` name.

``isrbench tools convert FILE_OR_FOLDER...``; the originals stay beside them as hidden files.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing
from isrbench.harness.imaging.colour import is_for, profile_of, title_of, to_srgb
from isrbench.harness.imaging.deep import bits_of, extra_channels, frames_of
from isrbench.harness.imaging.images import EXIF_ORIENTATION, read_noted, write_png
from isrbench.harness.imaging.listing import list_images
from isrbench.harness.imaging.opening import opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


class Converted(NamedTuple):
    """An image as 8-bit RGB."""

    pixels: NDArray[np.uint8]
    """uint8 (H, W, 3)."""
    profile: bytes | None
    """ICC profile of the pixels, if they have one."""
    notes: tuple[str, ...]
    """What was changed; empty where no value was."""


def convert(path: Path) -> Path:
    """Rewrite one image as an 8-bit RGB PNG of the same stem, so that it still belongs to the same pair.

    The original becomes the hidden file ``.NAME.original``, which data sets skip. An image that is 8-bit RGB already
    stays as it is. What was changed is logged.

    Returns:
        The PNG.

    Raises:
        UserError: If the image is damaged or has no 8-bit form, or another file has the name that it would get.
    """
    try:
        for note in read_noted(path)[1]:
            log.warning("%s stays as it is, but %s", path, note)
        return path
    except UserError:
        converted = rgb8(path)
    target, kept = path.with_suffix(".png"), path.with_name(f".{path.name}.original")
    if target.exists() and not target.samefile(path):
        raise UserError(f"{path} would become {target}, which exists already", "keep one of the two")
    if kept.exists():
        raise UserError(f"{kept} exists already, from an earlier conversion", "move it away")
    # A copy: whoever is killed while the PNG is written leaves the image under its own name.
    with replacing(kept) as copy:
        shutil.copy2(path, copy)
    try:
        write_png(target, converted.pixels, profile=converted.profile)
    except BaseException:
        kept.unlink()
        raise
    if path != target:
        path.unlink()
    for note in converted.notes:
        log.warning("%s: %s; the original is %s", target, note, kept.name)
    return target


def rgb8(path: Path) -> Converted:
    """Decode any image to 8-bit RGB.

    EXIF rotation is applied. 16 bits become 8: grey is divided by 257 and rounded, of colour Pillow reads the upper
    byte. Grey, palette and other colour models become RGB, CMYK by its colour profile where it has one; transparent
    parts are laid over white. A profile for RGB stays with the pixels.

    Raises:
        UserError: If the file cannot be decoded, holds several frames, or its values have no fixed white (floats,
            32-bit integers).
    """
    with opened(path) as image:
        frames, mode, bits = frames_of(image), image.mode, bits_of(image)
        if frames > 1:
            raise UserError(f"{path} holds {frames} frames or pages", "save the one that is meant as a PNG of its own")
        if mode == "LAB":
            raise UserError(f"{path} holds Lab colours", "save it as RGB with the program that made it")
        extra = extra_channels(image)
        image.load()
        turned = image.getexif().get(EXIF_ORIENTATION, 1) != 1
        upright = ImageOps.exif_transpose(image)
        notes = ["turned upright, as its EXIF says"] if turned else []
        profile = profile_of(image)
        if bits > 8:
            notes.append(f"{bits} bits became 8")
        if mode == "F" or mode.startswith("I"):
            return Converted(_from_deep_grey(np.asarray(upright), path), None, tuple(notes))
        if extra:
            notes.append(f"{extra} channel{'' if extra == 1 else 's'} besides the colours left out")
        if upright.has_transparency_data:
            layer = upright.convert("RGBA")
            if layer.getchannel("A").getextrema() != (255, 255):
                notes.append("transparent parts laid over white")
            upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        if profile is not None and not is_for(profile, "RGB"):
            used = mode == "CMYK" and is_for(profile, "CMYK")
            upright = to_srgb(upright, profile) if used else upright
            notes.append(f"its colour profile ({title_of(profile)}) {'was applied' if used else 'left out'}")
            profile = None
        elif mode == "CMYK":
            notes.append("CMYK without a colour profile became RGB by the plain formula, so colours may be off")
        return Converted(np.array(upright.convert("RGB")), profile, tuple(notes))


def main(argv: Sequence[str] | None = None) -> int:
    """Convert the named images, and all images of the named folders; return 2 if any could not be converted."""
    parser = argparse.ArgumentParser(
        prog="isrbench tools convert", description="Rewrite images in place as 8-bit RGB PNGs"
    )
    parser.add_argument("paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    code = 0
    places = {place: list_images(place, tell=True) if place.is_dir() else [place] for place in options.paths}
    for empty in (place for place, files in places.items() if not files):
        raise UserError(f"{empty} holds no images", "name images, or a folder that holds some")
    for path in [file for files in places.values() for file in files]:
        try:
            log.info("%s is 8-bit RGB", convert(path))
        except UserError as error:
            log.error("%s", error)
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
