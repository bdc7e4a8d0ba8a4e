"""Photos: pictures to train on and to make sets of. Most become 8-bit RGB, and what that cost is noted.

Pictures to restore are read by :mod:`isrbench.harness.imaging.pictures`, which takes more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.colour import is_for, left_out, profile_of, title_of
from isrbench.harness.imaging.deep import bits_of, extra_channels, frames_of
from isrbench.harness.imaging.images import (
    EXIF_ORIENTATION,
    convert_command,
    is_lossy_under_lossless_name,
    tell_notes,
)
from isrbench.harness.imaging.opening import PHOTO_PIXELS, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPAQUE = frozenset({"RGB", "L", "1"})
_MODES = frozenset({*_OPAQUE, "P", "RGBA", "LA"})


class Photo(NamedTuple):
    """A photo as 8-bit RGB."""

    pixels: NDArray[np.uint8]
    """uint8 (H, W, 3)."""
    profile: bytes | None
    """ICC profile of the pixels, if the file has one for RGB; whoever writes the pixels writes it too."""
    notes: tuple[str, ...]
    """What was done or left out to get here."""

    @property
    def profile_left_out(self) -> tuple[str, ...]:
        """Return a note for whoever takes the pixels without their profile; none where it is sRGB."""
        return left_out(self.profile)


def open_photo(path: Path) -> Photo:
    """Read any common photo as 8-bit RGB: to train on, never for scoring.

    EXIF rotation is applied; grey and palette images become RGB; an opaque alpha channel is dropped.

    Raises:
        UserError: If the file is unreadable, deeper than 8 bits, of several frames, or has transparent parts.
    """
    with opened(path, most=PHOTO_PIXELS) as image:
        return photo_of(image, str(path), convert_command(path, image), path)


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read the pixels of :func:`open_photo`, uint8 (H, W, 3); its profile and notes are dropped."""
    return open_photo(path).pixels


def read_photos(paths: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    """Read the pixels of photos one after the other, and tell at the end what was done to them or left out.

    Yields:
        uint8 (H, W, 3).

    Raises:
        UserError: As :func:`open_photo`.
    """
    notes = {}
    for path in paths:
        photo = open_photo(path)
        notes[path] = (*photo.notes, *photo.profile_left_out)
        yield photo.pixels
    tell_notes(notes.items())


def check_photo(path: Path) -> tuple[str, ...]:
    """Raise what :func:`read_photo` would raise, as far as the header tells, and return what it would leave out.

    Only images that may be transparent (palette, RGBA, LA) are decoded, so damage in the others goes unseen.

    Raises:
        UserError: As :func:`open_photo`.
    """
    with opened(path, most=PHOTO_PIXELS) as image:
        if image.mode not in _OPAQUE or "transparency" in image.info:
            photo = photo_of(image, str(path), convert_command(path, image), path)
            return (*photo.notes, *photo.profile_left_out)
        _refuse_unfit(image, str(path), convert_command(path, image))
        # A PNG's EXIF may stand behind its pixels.
        turned = "exif" in image.info and image.getexif().get(EXIF_ORIENTATION, 1) != 1
        profile, notes = _noted(image, path, turned)
        return (*notes, *left_out(profile))


def photo_pixels(image: Image.Image, name: str, fix: str) -> NDArray[np.uint8]:
    """Turn a Pillow image into what :func:`read_photo` returns.

    Args:
        image: Opened, not necessarily decoded.
        name: What to call it in messages.
        fix: How to fix it where it does not fit.

    Returns:
        uint8 (H, W, 3).

    Raises:
        UserError: As :func:`open_photo`.
    """
    return photo_of(image, name, fix).pixels


def photo_of(image: Image.Image, name: str, fix: str, path: Path | None = None) -> Photo:
    """Turn a Pillow image into a :class:`Photo`.

    Args:
        image: Opened, not necessarily decoded.
        name: What to call it in messages.
        fix: How to fix it where it does not fit.
        path: Its file, if it has one.

    Raises:
        UserError: As :func:`open_photo`.
    """
    _refuse_unfit(image, name, fix)
    try:
        image.load()
        turned = image.getexif().get(EXIF_ORIENTATION, 1) != 1
        upright = ImageOps.exif_transpose(image)
    except Exception as error:  # each format's decoder has its own
        raise UserError(f"{name} is damaged: {error}", "copy the file again from its source") from error
    if upright.has_transparency_data and upright.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise UserError(f"{name} has transparent parts, which a photo of 8 bits cannot keep", fix)
    profile, notes = _noted(image, path, turned)
    return Photo(np.array(upright.convert("RGB")), profile, notes)


def _noted(image: Image.Image, path: Path | None, turned: bool) -> tuple[bytes | None, tuple[str, ...]]:
    """Return the profile that stays with the pixels, and what is to be said of the image."""
    notes = ["it is turned upright, as its EXIF says"] if turned else []
    if path is not None and is_lossy_under_lossless_name(image, path):
        notes.append(f"it is a {image.format} by its content, which loses something, whatever its name says")
    profile = profile_of(image)
    if profile is not None and not is_for(profile, "RGB"):
        notes.append(f"its colour profile ({title_of(profile)}) is not one for RGB and left out")
        profile = None
    return profile, tuple(notes)


def _refuse_unfit(image: Image.Image, name: str, fix: str) -> None:
    """Refuse what cannot become 8-bit RGB without a loss, as far as the header tells."""
    if image.mode not in _MODES:
        raise UserError(f"{name} has pixel mode {image.mode}, not 8-bit colour or grey", fix)
    bits = bits_of(image)
    if bits > 8:
        raise UserError(f"{name} has {bits} bits a channel; photos are read as 8-bit colour or grey", fix)
    if frames_of(image) > 1:
        raise UserError(f"{name} holds {frames_of(image)} frames or pages", fix)
    if extra_channels(image):
        raise UserError(f"{name} has channels besides its colours, which a photo of 8 bits cannot keep", fix)
