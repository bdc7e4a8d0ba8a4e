"""Images in and out: strict about what a test image is, lossless about what was restored.

Here is the only conversion between 8-bit pixels and floats.
"""

from __future__ import annotations

import hashlib
import shlex
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from isrbench.harness.errors import UserError, foreign, reason
from isrbench.harness.files import check_file, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_EXIF_ORIENTATION = 0x0112
_AGAIN = "copy the file again from its source"


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) in pixels from the header, after those checks of :func:`read_rgb` that a header allows.

    Raises:
        UserError: As :func:`read_rgb`, but a damaged body goes unnoticed.
    """
    with _opened(path) as image:
        _refuse_all_but_rgb8(image, path)
        return image.height, image.width


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit RGB image file as it stands; nothing is converted silently.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UserError: If the file is missing, empty, truncated, not an image, or not 8-bit RGB without an EXIF rotation.
    """
    with _opened(path) as image:
        _refuse_all_but_rgb8(image, path)
        pixels = _decoded(image, str(path))
        # Only now: PIL decodes a PNG to find its EXIF.
        if _orientation(image, str(path)) != 1:
            raise UserError(f"{path} carries an EXIF rotation, which metrics would ignore", _convert_command(path))
        return pixels


def read_lr(path: Path, expected: str | None = None) -> NDArray[np.uint8]:
    """Read an LR image as :func:`read_rgb`, and refuse another than the one that was checked.

    Args:
        path: Its file.
        expected: ``Pair.lr_hash``; None = any pixels will do.

    Raises:
        UserError: As :func:`read_rgb`, or if the pixels have another hash.
    """
    return _unchanged(path, read_rgb(path), lr_hash, expected)


def read_hr(path: Path, expected: str | None = None) -> NDArray[np.uint8]:
    """Read an HR image as :func:`read_rgb`, and refuse another than the one that was checked.

    Args:
        path: Its file.
        expected: ``Pair.hr_hash``; None = any pixels will do.

    Raises:
        UserError: As :func:`read_rgb`, or if the pixels have another hash.
    """
    return _unchanged(path, read_rgb(path), hr_hash, expected)


def lr_hash(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of an LR image's size and pixels, in hex."""
    return hashlib.sha256(f"{pixels.shape[0]}x{pixels.shape[1]}".encode() + pixels.tobytes()).hexdigest()


def hr_hash(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of an HR image's pixels, in hex; its size follows from that of its LR."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read any common photo as 8-bit RGB: for restoring a user's own image, never for scoring.

    EXIF rotation is applied; grey and palette images become RGB; an opaque alpha channel is dropped.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UserError: If the file is unreadable, deeper than 8 bits, or has transparent parts.
    """
    with _opened(path) as image:
        return photo_pixels(image, str(path), _convert_command(path))


def check_photo(path: Path) -> None:
    """Raise what :func:`read_photo` would raise, as far as the header tells.

    Only images that may be transparent (palette, RGBA, LA) are decoded, so damage in the others goes unseen.

    Raises:
        UserError: As :func:`read_photo`.
    """
    with _opened(path) as image:
        if image.mode not in {"RGB", "L", "1"}:
            photo_pixels(image, str(path), _convert_command(path))


def photo_pixels(image: Image.Image, name: str, fix: str) -> NDArray[np.uint8]:
    """Turn a PIL image into what :func:`read_photo` returns.

    Args:
        image: Opened, not necessarily decoded.
        name: What to call it in messages.
        fix: How to fix it where it does not fit.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UserError: As :func:`read_photo`.
    """
    if image.mode not in {"RGB", "L", "P", "RGBA", "LA", "1"}:
        raise UserError(f"{name} has pixel mode {image.mode}, not 8-bit colour or grey", fix)
    _decoded(image, name)
    with foreign(f"{name} is damaged", _AGAIN):
        upright = ImageOps.exif_transpose(image)
    if upright.mode in {"RGBA", "LA", "P"}:
        alpha = upright.convert("RGBA").getchannel("A").getextrema()
        if alpha != (255, 255):
            raise UserError(f"{name} has transparent parts, which a restoration cannot keep", fix)
    return np.array(upright.convert("RGB"))


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 (H, W, 3) into float32 (3, H, W) in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float().div_(255)


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """Turn float (3, H, W) in [0, 1] into uint8 (H, W, 3), rounded half up after clamping.

    Half up is what torchvision's ``save_image`` does; a value that is already k/255 comes back as k.
    """
    import torch

    scaled = image.detach().float().clamp(0, 1).mul(255).add_(0.5).floor_()
    return scaled.to("cpu", torch.uint8).permute(1, 2, 0).contiguous().numpy()


def write_png(path: Path, pixels: NDArray[np.uint8], *, smallest: bool = False) -> None:
    """Write uint8 (H, W, 3) as a PNG so that ``path`` holds either the whole image or what was there before.

    Args:
        path: The file.
        pixels: The image.
        smallest: Compress as much as possible: many times slower.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the partial file is removed.
    """
    with replacing(path) as partial:
        # Level 1: restored images are written often and seldom kept for long.
        compression = {"optimize": True} if smallest else {"compress_level": 1}
        Image.fromarray(pixels).save(partial, format="PNG", **compression)


def _opened(path: Path) -> Image.Image:
    check_file(path, _AGAIN)
    try:
        if path.stat().st_size == 0:
            raise UserError(f"{path} is empty (0 bytes)", "copy the file again from its source")
        return Image.open(path)
    except UnidentifiedImageError as error:
        size = _png_size(path)
        if size is not None and 0 in size:
            raise UserError(
                f"{path} has no pixels ({size[0]}x{size[1]})", "copy the file again from its source, or leave it out"
            ) from error
        raise UserError(
            f"{path} is not an image that can be read", "remove it, or copy it again from its source"
        ) from error
    except UserError:
        raise
    except Exception as error:  # readers of formats raise nearly anything for a header that is not what it should be
        raise UserError(f"{path} cannot be opened: {reason(error)}", _AGAIN) from error


def _png_size(path: Path) -> tuple[int, int] | None:
    """Return the (width, height) that a PNG's header states, even where PIL will not open it; None for other files."""
    with path.open("rb") as file:
        head = file.read(24)
    return struct.unpack(">II", head[16:]) if len(head) == 24 and head.startswith(b"\x89PNG\r\n\x1a\n") else None


def _unchanged(
    path: Path, pixels: NDArray[np.uint8], hash_of: Callable[[NDArray[np.uint8]], str], expected: str | None
) -> NDArray[np.uint8]:
    if expected is not None and hash_of(pixels) != expected:
        raise UserError(
            f"{path} has changed since it was checked",
            "leave the data set as it is while a run reads it, then run the command again",
        )
    return pixels


def _orientation(image: Image.Image, name: str) -> int:
    with foreign(f"{name} is damaged", _AGAIN):
        return image.getexif().get(_EXIF_ORIENTATION, 1)


def _decoded(image: Image.Image, name: str) -> NDArray[np.uint8]:
    with foreign(f"{name} is damaged", _AGAIN):
        return np.asarray(image)


def _refuse_all_but_rgb8(image: Image.Image, path: Path) -> None:
    if image.mode != "RGB" or _bits_per_channel(image) != 8:
        kind = {"L": "grey", "P": "a palette image", "RGBA": "RGBA", "LA": "grey with alpha", "1": "black and white"}
        named = kind.get(image.mode, f"mode {image.mode}") if image.mode != "RGB" else "16-bit RGB"
        raise UserError(f"{path} is {named}; test images are 8-bit RGB", _convert_command(path))


def _bits_per_channel(image: Image.Image) -> int:
    """Return the bits of a channel in the file: PIL opens a 16-bit RGB PNG or TIFF as 8-bit RGB without a word."""
    tiles = getattr(image, "tile", None) or []
    raw = tiles[0][3] if tiles else None
    raw = raw[0] if isinstance(raw, tuple) else raw
    return 16 if isinstance(raw, str) and ";16" in raw else 8


def _convert_command(path: Path) -> str:
    return "convert it in place: " + shlex.join(["isrbench", "tools", "convert", str(path)])
