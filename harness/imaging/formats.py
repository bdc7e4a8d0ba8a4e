"""What kind of file lies under a name, by its first bytes: pictures that are read here, others, and what is none.

Nothing is decoded, and neither Pillow nor NumPy is imported.
"""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

IMAGE_SUFFIXES = frozenset(
    {
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".avif",
        ".jp2", ".j2k", ".jpx", ".jpf", ".ppm", ".pgm", ".pbm", ".pnm",
    }
)  # fmt: skip
"""Endings of files that say to be images, in lower case; a file with another is one if its content is."""
LOSSLESS_SUFFIXES = frozenset({".png", ".apng", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"})
"""Those that promise pixels as they were before they were saved."""


class Kind(NamedTuple):
    """A kind of file."""

    name: str
    """With its article, such as ``a GIF``."""
    read: bool = False
    """Whether :mod:`isrbench.harness.imaging.opening` reads it."""
    picture: bool = True
    """Whether it is a picture at all."""


RAW = Kind("a camera's raw file")
_TIFF = Kind("a TIFF", read=True)
_HEAD = 512
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\x89PNG\r\n\x1a\n", Kind("a PNG", read=True)),
    (b"\xff\xd8\xff", Kind("a JPEG", read=True)),
    (b"GIF87a", Kind("a GIF", read=True)),
    (b"GIF89a", Kind("a GIF", read=True)),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Kind("a JPEG 2000", read=True)),
    (b"\xff\x4f\xff\x51", Kind("a JPEG 2000", read=True)),
    (b"II*\0", _TIFF),
    (b"MM\0*", _TIFF),
    (b"II+\0", _TIFF),
    (b"MM\0+", _TIFF),
    (b"%!PS", Kind("PostScript (EPS), a program and not an image")),
    (b"\xc5\xd0\xd3\xc6", Kind("PostScript (EPS), a program and not an image")),
    (b"\xff\x0a", Kind("a JPEG XL")),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Kind("a JPEG XL")),
    (b"8BPS", Kind("a Photoshop file (PSD)")),
    (b"v/1\x01", Kind("an OpenEXR")),
    (b"#?RADIANCE", Kind("a Radiance HDR")),
    (b"#?RGBE", Kind("a Radiance HDR")),
    (b"qoif", Kind("a QOI")),
    (b"DDS ", Kind("a DDS")),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"IIU\0", RAW),
    (b"%PDF", Kind("a PDF", picture=False)),
    (b"\x93NUMPY", Kind("a NumPy array", picture=False)),
    (b"PK\x03\x04", Kind("a zip file", picture=False)),
    (b"\x1f\x8b", Kind("a gzip file", picture=False)),
    (b"version https://git-lfs", Kind("a Git LFS pointer and not the file itself", picture=False)),
)
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_BITMAP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_SUBFILE_TYPE, _BITS, _SAMPLES, _SAMPLE_FORMAT, _DNG_VERSION = 254, 258, 277, 339, 50706


def kind_of(path: Path) -> Kind | None:
    """Return what a file is by its content; None for what is not known, cannot be read, or is no plain file.

    A pipe or device is not opened: it might never answer.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            return kind_of_content(file)
    except OSError:
        return None


def kind_of_content(file: BinaryIO) -> Kind | None:
    """Return what an open file is; it is left at an undefined place."""
    file.seek(0)
    head = file.read(_HEAD)
    for start, kind in _STARTS:
        if head.startswith(start):
            return _tiff(file, head) if kind is _TIFF else kind
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Kind("a WebP", read=True)
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head.startswith(b"BM") and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return Kind("a BMP", read=True)
    if len(head) > 3 and head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3].isspace():
        return Kind("a Netpbm (PPM)", read=True) if head[3:4].isdigit() or head[3:4] == b"#" else None
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return Kind("a web page", picture=False)
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return Kind("an SVG drawing")
    return None


def is_image(path: Path) -> bool:
    """Return whether a file counts as an image: by its ending, or by what it holds, if that is read here."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    kind = kind_of(path)
    return kind is not None and kind.read


def tiff_channels(file: BinaryIO) -> str:
    """Return what a TIFF holds in words, such as ``3 channels of 32-bit float``; "" where it does not say."""
    file.seek(0)
    tags = _first_tags(file, file.read(8))
    bits = tags.get(_BITS)
    if not bits:
        return ""
    form = {2: " signed", 3: " float"}.get(tags.get(_SAMPLE_FORMAT, 1), "")
    count = tags.get(_SAMPLES, 1)
    return f"{count} channel{'' if count == 1 else 's'} of {bits}-bit{form}"


def _of_brands(head: bytes) -> Kind:
    """Return what a file of ISO's base media format is, by the brands that it names."""
    size = int.from_bytes(head[:4], "big")
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
    if brands & {b"avif", b"avis"}:
        return Kind("an AVIF", read=True)
    if b"crx " in brands:
        return RAW
    return Kind("a HEIC") if brands & _HEIF else Kind("a video", picture=False)


def _tiff(file: BinaryIO, head: bytes) -> Kind:
    """Tell cameras' raw files, whose first image is a small preview, from other TIFFs."""
    tags = _first_tags(file, head)
    raw = head[8:10] == b"CR" or _DNG_VERSION in tags or tags.get(_SUBFILE_TYPE, 0) & 1
    return RAW if raw else _TIFF


def _first_tags(file: BinaryIO, head: bytes) -> dict[int, int]:
    """Return the tags of a TIFF's first directory, each with its first number; empty for a BigTIFF or a damaged one."""
    order = "<" if head.startswith(b"II") else ">"
    try:
        (at,) = struct.unpack(f"{order}I", head[4:8])
        if head[2:4] not in (b"*\0", b"\0*"):
            return {}
        file.seek(at, os.SEEK_SET)
        (count,) = struct.unpack(f"{order}H", file.read(2))
        entries = file.read(12 * count)
        tags = {}
        for start in range(0, len(entries) - 11, 12):
            tag, type_, number = struct.unpack_from(f"{order}HHI", entries, start)
            size = {1: 1, 3: 2, 4: 4}.get(type_)
            if size is None:
                continue
            value = entries[start + 8 : start + 8 + size]
            if number * size > 4:
                (place,) = struct.unpack_from(f"{order}I", entries, start + 8)
                file.seek(place)
                value = file.read(size)
            tags[tag] = int.from_bytes(value, "little" if order == "<" else "big")
    except (struct.error, OSError, ValueError, OverflowError):
        return {}
    return tags
