"""The one place that opens images: an explicit list of formats, sizes that are bounded, errors with a path and a fix.

Pillow knows formats that are programs (an EPS is handed to Ghostscript) and picks one by what a file holds, whatever
its name. Whoever reads an image here or in a plugin goes through :func:`opened`.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from PIL import Image, features

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.formats import Kind, kind_of_content, tiff_channels

FORMATS = ("PNG", "JPEG", "BMP", "DIB", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
"""What is opened, by Pillow's names; all are decoded inside this process, by libraries for images alone."""
SET_PIXELS = 2**30
"""The most pixels of an image of a test set, or that isrbench wrote: 32768x32768."""
PHOTO_PIXELS = 178_956_970
"""The most pixels of a photo, which anyone may have made: Pillow's limit, against files that unpack to gigabytes."""
_OPTIONAL = {"a WebP": "webp", "an AVIF": "avif", "a JPEG 2000": "jpg_2000"}
"""Kinds that some builds of Pillow lack."""
_AGAIN = "copy the file again from its source"
_LIFTED: ContextVar[bool] = ContextVar("lifted", default=False)

Source = Path | bytes
"""A file, or what it holds."""


def _let_pass_where_lifted() -> None:
    """Let Pillow's limit of pixels hold everywhere but in :func:`opened`, which has its own.

    ``Image.MAX_IMAGE_PIXELS`` would lift it for every thread, and for whoever else uses Pillow.
    """
    check = Image._decompression_bomb_check

    def checked(*arguments: object, **options: object) -> None:
        if not _LIFTED.get():
            check(*arguments, **options)  # pyright: ignore[reportArgumentType]

    Image._decompression_bomb_check = checked


_let_pass_where_lifted()


@contextmanager
def opened(source: Source, name: str = "", *, most: int = SET_PIXELS) -> Iterator[Image.Image]:
    """Open an image, not yet decoded, for as long as the block lasts. Decode it inside, and do nothing else there.

    Args:
        source: The file, or its bytes.
        name: What messages call it; for a file its path is the default.
        most: How many pixels it may have.

    Raises:
        UserError: If it is missing, empty, no image or of another format than :data:`FORMATS`, too large, or has no
            pixels; and if whatever the block decodes is damaged.
    """
    name = name or str(source)
    lifted = _LIFTED.set(True)
    try:
        with _content(source, name) as file, _identified(file, name) as image:
            _check_size(image, name, most)
            yield image
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(
            f"{name} needs more memory than there is", "use a machine with more, or leave it out"
        ) from error
    except Exception as error:  # each format's decoder has its own
        raise UserError(f"{name} is damaged: {error or type(error).__name__}", _AGAIN) from error
    finally:
        _LIFTED.reset(lifted)


@contextmanager
def _content(source: Source, name: str) -> Iterator[BinaryIO]:
    """Open a plain file; a pipe or device might never answer."""
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    try:
        found = source.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "a folder" if stat.S_ISDIR(found.st_mode) else "not a plain file"
            raise UserError(f"{name} is {what}", "give an image file")
        if found.st_size == 0:
            raise UserError(f"{name} is empty (0 bytes)", _AGAIN)
        file = source.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"{name} does not exist", "check the path") from error
    except OSError as error:
        raise UserError(f"{name} cannot be opened: {error.strerror or error}", _AGAIN) from error
    with file:
        yield file


def _identified(file: BinaryIO, name: str) -> Image.Image:
    kind = kind_of_content(file)
    if kind is not None and not kind.read:
        raise UserError(f"{name} is {kind.name}; it is not opened", _other_fix(kind))
    lacking = None if kind is None else _OPTIONAL.get(kind.name)
    if kind is not None and lacking is not None and not features.check(lacking):
        raise UserError(
            f"{name} is {kind.name}, which the installed Pillow cannot read", "pip install --upgrade pillow"
        )
    file.seek(0)
    try:
        return Image.open(file, formats=FORMATS)
    except Exception as error:  # what a damaged header makes the readers raise differs between them
        raise _unreadable(file, name, kind) from error


def _unreadable(file: BinaryIO, name: str, kind: Kind | None) -> UserError:
    """Say why an image is not opened, as far as that can be seen."""
    size = _png_size(file)
    if size is not None and 0 in size:
        return UserError(f"{name} has no pixels ({size[0]}x{size[1]})", f"{_AGAIN}, or leave it out")
    if kind is None:
        return UserError(f"{name} is not an image that can be read", "remove it, or copy it again from its source")
    channels = tiff_channels(file) if kind.name == "a TIFF" else ""
    if channels:
        return UserError(
            f"{name} is a TIFF of {channels}, which cannot be read", "save it as 8 bits with the program that made it"
        )
    return UserError(f"{name} is {kind.name}, but damaged or of a form that cannot be read", _AGAIN)


def _check_size(image: Image.Image, name: str, most: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise UserError(f"{name} has no pixels ({width}x{height})", f"{_AGAIN}, or leave it out")
    if width * height > most:
        raise UserError(
            f"{name} is {width}x{height}, {width * height:,} pixels; {most:,} are the most that are read here",
            "cut it into parts, or make it smaller",
        )


def _other_fix(kind: Kind) -> str:
    if kind.picture:
        return "save it as PNG with a program that knows it"
    return "git lfs pull" if "Git LFS" in kind.name else "remove it, or copy the image again from its source"


def _png_size(file: BinaryIO) -> tuple[int, int] | None:
    """Return the (width, height) that a PNG's header states, even where Pillow will not open it; None for others."""
    file.seek(0)
    head = file.read(24)
    return struct.unpack(">II", head[16:]) if len(head) == 24 and head.startswith(b"\x89PNG\r\n\x1a\n") else None
