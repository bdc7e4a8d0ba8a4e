"""Restored pictures as files: PNG, JPEG, WebP or TIFF by the name, with transparency, colour profile and EXIF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing
from isrbench.harness.imaging.opening import SET_PIXELS
from isrbench.harness.imaging.pictures import with_size

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Kind(NamedTuple):
    name: str
    """As Pillow calls it."""
    options: dict[str, Any]
    longest: int
    """The longest side in pixels that a file can have."""
    alpha: bool = True
    """Whether it holds transparency."""


_PNG = _Kind("PNG", {}, 2**31 - 1)
# Quality 95 without halved colours: what a restoration has won is not lost again.
_JPEG = _Kind("JPEG", {"quality": 95, "subsampling": 0}, 65_535, alpha=False)
_WEBP = _Kind("WEBP", {"quality": 95}, 16_383)
_TIFF = _Kind("TIFF", {}, 2**31 - 1)  # uncompressed: Pillow compresses none that has the EXIF of a camera
_KINDS = {
    ".png": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG, ".jpe": _JPEG, ".webp": _WEBP, ".tif": _TIFF, ".tiff": _TIFF,
}  # fmt: skip


def check_name(path: Path) -> None:
    """Check that a file's name says how to write it.

    Raises:
        UserError: If it does not end as a PNG, JPEG, WebP or TIFF does.
    """
    if path.suffix.lower() not in _KINDS:
        raise UserError(
            f"{path}: pictures are written as PNG, JPEG, WebP or TIFF, by the name's ending",
            f"name it {path.with_suffix('.png')}",
        )


def check_pixels(name: str, height: int, width: int) -> None:
    """Check that a restored image could be read again, before it is computed and memory ends.

    Raises:
        UserError: If it would have more pixels than any image that is read here.
    """
    if height * width > SET_PIXELS:
        raise UserError(
            f"{name} would be {width}x{height}, {height * width:,} pixels; {SET_PIXELS:,} are the most that are read",
            "choose a smaller --scale, or cut the image into parts",
        )


def check_fits(path: Path, height: int, width: int, transparent: bool) -> None:
    """Check that a file of this name can hold a picture, before it is computed.

    Raises:
        UserError: If it cannot hold transparency, or sides as long.
    """
    kind = _KINDS[path.suffix.lower()]
    if transparent and not kind.alpha:
        raise UserError(f"{path}: a JPEG cannot be transparent", f"name it {path.with_suffix('.png')} or .webp")
    if max(height, width) > kind.longest:
        raise UserError(
            f"{path}: {width}x{height} pixels are more than a {kind.name} can have ({kind.longest} a side)",
            f"name it {path.with_suffix('.png')}",
        )


def write_picture(
    path: Path,
    pixels: NDArray[np.uint8],
    *,
    alpha: NDArray[np.uint8] | None = None,
    profile: bytes | None = None,
    exif: bytes = b"",
) -> None:
    """Write a picture so that ``path`` holds either the whole of it or what was there before.

    Args:
        path: The file; its ending says what it becomes. PNG and TIFF lose nothing, JPEG and WebP are of quality 95.
        pixels: uint8 (H, W, 3).
        alpha: uint8 (H, W), or None.
        profile: ICC profile of the colours; None = sRGB.
        exif: EXIF block; its size is set to the picture's.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the partial file is removed.
    """
    kind = _KINDS[path.suffix.lower()]
    block = with_size(exif, *pixels.shape[:2])
    image = Image.fromarray(pixels if alpha is None else np.dstack([pixels, alpha]))
    with replacing(path) as partial:
        image.save(partial, format=kind.name, icc_profile=profile, **({"exif": block} if block else {}), **kind.options)
