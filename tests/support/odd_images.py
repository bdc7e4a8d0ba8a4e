"""Image files whose pixels are easily changed without a word, and files that are no images, written from nothing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.images import make_image, write_png16, write_rotated_jpeg

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 16 16
%%EndComments
(PROOF) (w) file dup (ran) writestring closefile
showpage
%%EOF
"""
"""A program: whoever hands it to Ghostscript finds that it has written a file."""
_D50 = (0.9642, 1.0, 0.8249)
Colour = tuple[float, float, float]
"""X, Y, Z."""


def _s15(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], title: str) -> bytes:
    """An ICC profile of version 2 (ICC.1:2001-04)."""
    name = title.encode() + b"\0"
    described = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    tags = {
        b"desc": described,
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + _s15(*_D50),
        **tags,
    }
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags.items():
        data += bytes(-len(data) % 4)
        table += tag + struct.pack(">II", at + len(body), len(data))
        body += data
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _s15(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def wide_profile() -> bytes:
    """An RGB profile of colours wider than sRGB's: those of Adobe RGB (1998), adapted to D50, gamma 2.2."""
    return _rgb_profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446), "Wide RGB")


def display_p3_profile() -> bytes:
    """The profile of phones' photos: Display P3's primaries, adapted to D50, with gamma 2.2 for sRGB's curve."""
    return _rgb_profile((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841), "Display P3")


def _rgb_profile(red: Colour, green: Colour, blue: Colour, title: str) -> bytes:
    primaries = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    tags = {tag: b"XYZ " + bytes(4) + _s15(*values) for tag, values in primaries.items()}
    return _profile(b"RGB ", b"XYZ ", {**tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(2.2))}, title)


def grey_profile() -> bytes:
    """A profile for grey images, gamma 1.8."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _curve(1.8)}, "Dark Grey")


def cmyk_profile() -> bytes:
    """A profile for CMYK whose inks are all grey: an image under it has no colours, as no formula would have it."""
    plain = bytes(range(256))
    corners = b"".join(bytes((round(255 * max(0, 4 - sum(map(int, f"{ink:04b}"))) / 4), 128, 128)) for ink in range(16))
    identity = _s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + plain * 4 + corners + plain * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table}, "Grey Inks")


def pixels() -> np.ndarray:
    """What the files below show, uint8 (16, 16, 3)."""
    return make_image(0, 16, 16)


def _save(path: Path, image: Image.Image | None = None, **options: object) -> None:
    (Image.fromarray(pixels()) if image is None else image).save(path, **options)  # type: ignore[arg-type]


def _patched(path: Path, kind: str, *values: tuple[bytes, int, int]) -> None:
    """Write an image and then other values into its header, each (behind what, where, value).

    So it states more bits than 8, which Pillow cannot write; nobody decodes it.
    """
    _save(path, format=kind)
    content = bytearray(path.read_bytes())
    for after, at, value in values:
        content[content.index(after) + at] = value
    path.write_bytes(content)


def _write_deep_jpeg2000(path: Path) -> None:
    _patched(path, "JPEG2000", (b"\xff\x51", 40, 11))


def _write_deep_avif(path: Path) -> None:
    _patched(path, "AVIF", (b"av1C", 6, 0x4C), *((b"pixi", at, 10) for at in (9, 10, 11)))


def _frames(path: Path, kind: str) -> None:
    further = Image.fromarray(make_image(1, 16, 16))
    _save(path, format=kind, save_all=True, append_images=[further], duration=100)


def _tiff_of_float_colour(path: Path) -> None:
    tags = ((256, 3, 4), (257, 3, 4), (258, 3, 32), (259, 3, 1), (262, 3, 2), (273, 4, 200), (277, 3, 3), (278, 3, 4),
            (279, 4, 4 * 4 * 12), (339, 3, 3))  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    path.write_bytes(head.ljust(200, b"\0") + np.full((4, 4, 3), 0.5, "<f4").tobytes())


def write_wide(path: Path) -> None:
    """Write colours under a profile that is not sRGB."""
    _save(path, icc_profile=wide_profile())


def write_jpeg(path: Path) -> None:
    """Write a JPEG, whatever the name."""
    _save(path, format="JPEG", quality=60)


ODD: dict[str, tuple[str, Callable[[Path], object], str, str, str]] = {
    "16-bit PNG": ("a.png", write_png16, "16-bit RGB", "16 bits a channel", "16 bits became 8"),
    "16-bit TIFF": (
        "a.tif", lambda p: _save(p, Image.fromarray(np.full((16, 16), 40000, np.uint16))), "16-bit grey",
        "pixel mode I;16", "16 bits became 8",
    ),
    "12-bit JPEG 2000": ("a.j2k", _write_deep_jpeg2000, "12-bit RGB", "12 bits", ""),
    "10-bit AVIF": ("a.avif", _write_deep_avif, "10-bit RGB", "10 bits", ""),
    "16-bit PPM": (
        "a.ppm", lambda p: p.write_bytes(b"P6 2 2 65535\n" + bytes(24)) and None, "16-bit RGB", "16 bits",
        "16 bits became 8",
    ),
    "float TIFF": (
        "a.tif", lambda p: _save(p, Image.fromarray(np.ones((4, 4), np.float32))), "32-bit floats", "pixel mode F", "",
    ),
    "float colour TIFF": ("a.tif", _tiff_of_float_colour, "3 channels of 32-bit float", "32-bit float", ""),
    "EXIF rotation": ("a.jpg", write_rotated_jpeg, "EXIF rotation", "", "turned upright"),
    "transparent": (
        "a.png", lambda p: _save(p, Image.new("RGBA", (8, 8), (9, 9, 9, 0))), "RGBA", "transparent", "over white",
    ),
    "transparent colour": (
        "a.png", lambda p: _save(p, transparency=tuple(map(int, pixels()[0, 0]))), "transparent colour", "transparent",
        "over white",
    ),
    "opaque alpha": ("a.png", lambda p: _save(p, Image.fromarray(pixels()).convert("RGBA")), "RGBA", "", ""),
    "palette": ("a.png", lambda p: _save(p, Image.fromarray(pixels()).quantize(8)), "a palette image", "", ""),
    "grey": ("a.png", lambda p: _save(p, Image.fromarray(pixels()).convert("L")), "grey", "", ""),
    "grey with a profile": (
        "a.png", lambda p: _save(p, Image.fromarray(pixels()).convert("L"), icc_profile=grey_profile()), "grey", "",
        "Dark Grey",
    ),
    "CMYK": (
        "a.jpg", lambda p: _save(p, Image.fromarray(pixels()).convert("CMYK")), "CMYK", "pixel mode CMYK",
        "plain formula",
    ),
    "CMYK with a profile": (
        "a.jpg", lambda p: _save(p, Image.fromarray(pixels()).convert("CMYK"), icc_profile=cmyk_profile()), "CMYK",
        "pixel mode CMYK", "Grey Inks) was applied",
    ),
    "further channel": (
        "a.tif", lambda p: _save(p, Image.fromarray(pixels()).convert("RGBX")), "1 further channel",
        "besides its colours", "1 channel besides",
    ),
    "animated GIF": ("a.gif", lambda p: _frames(p, "GIF"), "palette", "2 frames", ""),
    "animated PNG": ("a.png", lambda p: _frames(p, "PNG"), "an image of 2 frames", "2 frames", ""),
    "pages": ("a.tif", lambda p: _frames(p, "TIFF"), "2 frames", "2 frames", ""),
    "Lab": ("a.tif", lambda p: _save(p, Image.new("LAB", (8, 8), (120, 9, 9))), "Lab", "pixel mode LAB", ""),
}  # fmt: skip
"""By name: the file's name, what writes it, words of the message of a test set and of a photo ("": a photo takes it),
and words of the note of ``tools convert`` ("": none, or it cannot be converted)."""

NO_IMAGES: dict[str, tuple[bytes, str]] = {
    "EPS": (EPS, "PostScript (EPS), a program"),
    "DOS EPS": (
        b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH", 30, len(EPS), 0, 0, 0, 0, 0xFFFF) + EPS,
        "PostScript (EPS)",
    ),
    "HEIC": (struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(64), "a HEIC"),
    "JPEG XL": (b"\xff\x0a" + bytes(64), "a JPEG XL"),
    "PSD": (b"8BPS\0\1" + bytes(64), "a Photoshop file"),
    "PDF": (b"%PDF-1.7\n" + bytes(64), "a PDF"),
    "SVG": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG"),
    "web page": (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
    "zip": (b"PK\3\4" + bytes(64), "a zip file"),
}
"""By name: what a file holds that is called an image, and words of the message."""
