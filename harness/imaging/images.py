"""Images in and out: strict about what a test image is, lossless about what was restored.

Here is the only conversion between 8-bit pixels and floats.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing, some
from isrbench.harness.imaging.colour import is_srgb, profile_of, title_of
from isrbench.harness.imaging.deep import bits_of, extra_channels, frames_of
from isrbench.harness.imaging.formats import LOSSLESS_SUFFIXES
from isrbench.harness.imaging.opening import opened

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

log = logging.getLogger(__name__)

EXIF_ORIENTATION = 0x0112
"""The tag of how an image is to be turned; 1 = not at all."""
_MODES = {
    "L": "grey", "P": "a palette image", "RGBA": "RGBA", "LA": "grey with alpha", "1": "black and white",
    "CMYK": "CMYK", "I;16": "16-bit grey", "I;16B": "16-bit grey", "I": "grey of 32-bit integers",
    "F": "grey of 32-bit floats", "LAB": "Lab",
}  # fmt: skip


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) in pixels from the header, after those checks of :func:`read_rgb` that a header allows.

    Raises:
        UserError: As :func:`read_rgb`, but a damaged body goes unnoticed.
    """
    with opened(path) as image:
        _refuse_all_but_rgb8(image, path)
        return image.height, image.width


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit RGB image file as it stands; nothing is converted silently.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UserError: If the file is missing, empty, truncated, not an image, or not 8-bit RGB without an EXIF rotation.
    """
    return read_noted(path)[0]


def read_noted(path: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Read as :func:`read_rgb`, and say what is odd about the file although its pixels are taken as they stand.

    Returns:
        uint8 (H, W, 3), and notes: a colour profile other than sRGB, a JPEG that is called a PNG.

    Raises:
        UserError: As :func:`read_rgb`.
    """
    with opened(path) as image:
        _refuse_all_but_rgb8(image, path)
        pixels = np.asarray(image)
        # Only now: PIL decodes a PNG to find its EXIF.
        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
            raise UserError(
                f"{path} carries an EXIF rotation, which metrics would ignore", convert_command(path, image)
            )
        return pixels, _notes(image, path)


def read_notes(path: Path) -> tuple[str, ...]:
    """Return the notes of :func:`read_noted` from the header.

    Raises:
        UserError: If the file cannot be opened.
    """
    with opened(path) as image:
        return _notes(image, path)


def tell_notes(noted: Iterable[tuple[object, Sequence[str]]]) -> None:
    """Warn of what was done to images, one line a note, however many images it is about.

    Args:
        noted: Images' names with their notes.
    """
    images: dict[str, list[object]] = {}
    for name, notes in noted:
        for note in notes:
            images.setdefault(note, []).append(name)
    for note, names in images.items():
        log.warning("%s: %s", some(names), note)


def read_lr(path: Path, expected: str | None = None) -> NDArray[np.uint8]:
    """Read an LR image as :func:`read_rgb`, and refuse another than the one that was checked.

    Args:
        path: Its file.
        expected: ``Pair.lr_hash``; None = any pixels will do.

    Raises:
        UserError: As :func:`read_rgb`, or if the pixels have another hash.
    """
    return _unchanged(path, read_rgb(path), lr_hash, expected)


def read_hr(path: Path, expected: str | None = None, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read an HR image as :func:`read_rgb`, and refuse another than the one that was checked.

    Args:
        path: Its file.
        expected: ``Pair.hr_hash``; None = any pixels will do.
        size: ``Pair.hr_size``; None = as it is.

    Raises:
        UserError: As :func:`read_rgb`, or if the pixels have another hash.
    """
    pixels = read_rgb(path)
    return _unchanged(path, pixels if size is None else cut_to(pixels, size), hr_hash, expected)


def cut_to(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the upper left part of an image, of (height, width) ``size``, as an array of its own."""
    return np.ascontiguousarray(pixels[: size[0], : size[1]])


def lr_hash(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of an LR image's size and pixels, in hex."""
    return hashlib.sha256(f"{pixels.shape[0]}x{pixels.shape[1]}".encode() + pixels.tobytes()).hexdigest()


def hr_hash(pixels: NDArray[np.uint8]) -> str:
    """Return the sha256 of an HR image's pixels, in hex; its size follows from that of its LR."""
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def to_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 (H, W, 3) into float32 (3, H, W) in [0, 1]."""
    import torch

    # By NumPy, on this thread alone: torch's threads would wait for each other wherever others compute beside them.
    return torch.from_numpy(np.divide(np.ascontiguousarray(pixels.transpose(2, 0, 1)), 255, dtype=np.float32))


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """Turn float (3, H, W) in [0, 1] into uint8 (H, W, 3), rounded half up after clamping.

    Half up is what torchvision's ``save_image`` does; a value that is already k/255 comes back as k.
    """
    import torch

    image = image.detach().float()
    if image.device.type != "cpu":  # rounded there: a quarter of the bytes to move
        return image.clamp(0, 1).mul(255).add_(0.5).to(torch.uint8).cpu().permute(1, 2, 0).contiguous().numpy()
    scaled = image.numpy() * np.float32(255)
    scaled += np.float32(0.5)
    np.clip(scaled, 0.5, 255.5, out=scaled)
    pixels = np.empty((*image.shape[1:], 3), np.uint8)
    np.copyto(pixels, scaled.transpose(1, 2, 0), casting="unsafe")  # cut, so rounded half up
    return pixels


def write_png(path: Path, pixels: NDArray[np.uint8], *, smallest: bool = False, profile: bytes | None = None) -> None:
    """Write uint8 (H, W, 3) as a PNG so that ``path`` holds either the whole image or what was there before.

    Args:
        path: The file.
        pixels: The image.
        smallest: Compress as much as possible: many times slower.
        profile: ICC profile of the colours, for RGB; None = sRGB, as what has none.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the partial file is removed.
    """
    with replacing(path) as partial:
        # Level 1: restored images are written often and seldom kept for long.
        compression = {"optimize": True} if smallest else {"compress_level": 1}
        Image.fromarray(pixels).save(partial, format="PNG", icc_profile=profile, **compression)


def _unchanged(
    path: Path, pixels: NDArray[np.uint8], hash_of: Callable[[NDArray[np.uint8]], str], expected: str | None
) -> NDArray[np.uint8]:
    if expected is not None and hash_of(pixels) != expected:
        raise UserError(
            f"{path} has changed since it was checked",
            "leave the data set as it is while a run reads it, then run the command again",
        )
    return pixels


def _refuse_all_but_rgb8(image: Image.Image, path: Path) -> None:
    found = other_kind(image)
    if found:
        raise UserError(f"{path} is {found}; test images are 8-bit RGB", convert_command(path, image))


def other_kind(image: Image.Image) -> str:
    """Say in which way an opened image is not one image of 8-bit RGB; "" where it is one."""
    if image.mode != "RGB":
        return _MODES.get(image.mode, f"mode {image.mode}")
    bits, extra, frames = bits_of(image), extra_channels(image), frames_of(image)
    if bits != 8:
        return f"{bits}-bit RGB"
    if extra:
        return f"RGB with {extra} further channel{'' if extra == 1 else 's'}"
    if "transparency" in image.info:
        return "RGB with a transparent colour"
    return f"an image of {frames} frames or pages" if frames > 1 else ""


def _notes(image: Image.Image, path: Path) -> tuple[str, ...]:
    """Say what a reader of scores may want to know of an image whose pixels are taken as they are."""
    profile = profile_of(image)
    noted = []
    if profile is not None and not is_srgb(profile):
        noted.append(f"its colour profile ({title_of(profile)}) counts for nothing: the values are taken as they stand")
    if is_lossy_under_lossless_name(image, path):
        noted.append(f"it is a {image.format} by its content, which loses something, whatever its name says")
    return tuple(noted)


def is_lossy_under_lossless_name(image: Image.Image, path: Path) -> bool:
    """Return whether a file that is called as a lossless one, such as ``a.png``, is a JPEG or another lossy kind."""
    return path.suffix.lower() in LOSSLESS_SUFFIXES and image.format in {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"}


def convert_command(path: Path, image: Image.Image) -> str:
    """Return how to make 8-bit RGB of a file that is something else."""
    if image.mode in {"F", "LAB"}:
        return "save it as 8-bit RGB with the program that made it"
    if frames_of(image) > 1:
        return "save the one that is meant as a PNG of its own"
    return "convert it in place: " + shlex.join(["isrbench", "tools", "convert", str(path)])
