"""What a file holds that Pillow decodes without a word: more than 8 bits, further channels, further frames."""

from __future__ import annotations

import re
from typing import BinaryIO, cast

from PIL import Image

_MAX_8 = 255


def bits_of(image: Image.Image) -> int:
    """Return how many bits a channel has in the file of an opened image that is not yet decoded.

    Pillow opens 16-bit colour in PNG, TIFF, PPM and JPEG 2000, and 10- or 12-bit AVIF, as 8-bit.
    """
    if image.mode.startswith("I;16"):
        return 16
    if image.mode in {"I", "F"}:
        return 32
    if image.format == "TIFF":
        bits = cast(dict[int, tuple[int, ...]], getattr(image, "tag_v2", {})).get(258, (1,))
        return max(bits) if isinstance(bits, tuple) else int(bits)
    if image.format == "JPEG2000":
        return _of_codestream(_content(image))
    if image.format == "AVIF":
        return _of_av1(_content(image))
    raw = _raw(image)
    if image.format == "PPM":
        return 16 if isinstance(raw, tuple) and isinstance(raw[-1], int) and raw[-1] > _MAX_8 else 8
    mode = raw[0] if isinstance(raw, tuple) and raw else raw
    return 16 if image.format == "PNG" and isinstance(mode, str) and ";16" in mode else 8


def extra_channels(image: Image.Image) -> int:
    """Return how many channels of a TIFF Pillow leaves out: those of no stated meaning behind the colours."""
    raw = _raw(image)
    mode = raw[0] if isinstance(raw, tuple) and raw else raw
    return mode.count("X") if image.format == "TIFF" and isinstance(mode, str) else 0


def frames_of(image: Image.Image) -> int:
    """Return how many frames or pages there are of which Pillow shows the first.

    The further images of a JPEG (a phone's depth or brightness) are parts of the one.
    """
    if image.format in {"JPEG", "MPO"} or not getattr(image, "is_animated", False):
        return 1
    return int(getattr(image, "n_frames", 1))


def _raw(image: Image.Image) -> object:
    tiles = getattr(image, "tile", None) or []
    return tiles[0][3] if tiles else None


def _content(image: Image.Image) -> bytes:
    file = cast("BinaryIO | None", getattr(image, "fp", None))
    if file is None or file.closed:  # decoded already
        return b""
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    return content


def _of_codestream(content: bytes) -> int:
    """Return the most bits of a JPEG 2000's components, from its SIZ marker (ISO 15444-1, A.5.1)."""
    at = content.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return 8
    count = int.from_bytes(content[at + 40 : at + 42], "big")
    return max([(depth & 0x7F) + 1 for depth in content[at + 42 : at + 42 + 3 * count : 3]], default=8)


def _of_av1(content: bytes) -> int:
    """Return the bits of an AVIF's channels, from its AV1 configuration box (AV1-ISOBMFF, 2.3.3)."""
    found = re.search(rb"av1C..(.)", content, re.DOTALL)
    if found is None:
        return 8
    flags = found[1][0]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
