"""Images to test with: good ones, pairs of them on disk, and files that no data set may hold."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def make_image(seed: int, height: int, width: int) -> Pixels:
    """A smooth, coloured uint8 (H, W, 3) image with some texture."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def noise_image(height: int, width: int, seed: int = 0) -> Pixels:
    """Independent random values, uint8 (H, W, 3): an error of one pixel shows."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_scene(seed: int = 0, height: int = 192, width: int = 176) -> tuple[Pixels, Pixels]:
    """A smooth random scene and a noisy copy of it, uint8 (H, W, 3): a reference and something to score."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = np.clip(scene + rng.normal(0, 12, scene.shape), 0, 255).astype(np.uint8)
    return scene, noisy


def write_pairs(folder: Path, names: list[str], lr: int = 16, scale: int = 4) -> Path:
    """Write LR/HR pairs of square images below ``folder``, and return it."""
    for sub in ("LR", "HR"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        hr = Image.fromarray(make_image(seed, lr * scale, lr * scale))
        hr.save(folder / "HR" / f"{name}.png")
        hr.resize((lr, lr), Image.Resampling.BICUBIC).save(folder / "LR" / f"{name}.png")
    return folder


def write_png16(path: Path, side: int = 16) -> None:
    """Write a 16-bit RGB PNG, which PIL itself cannot write."""
    rows = b"".join(b"\0" + bytes(range(6)) * side for _ in range(side))
    _write_png_chunks(path, (side, side), 16, rows)


def write_truncated_png(path: Path) -> None:
    """Write a PNG that lacks its end."""
    Image.fromarray(make_image(0, 16, 16)).save(path)
    path.write_bytes(path.read_bytes()[:-400])


def write_rotated_jpeg(path: Path) -> None:
    """Write a JPEG that asks to be turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(make_image(0, 16, 16)).save(path, format="JPEG", exif=exif)


def write_without_pixels(path: Path, width: int = 0, height: int = 0) -> None:
    """Write a PNG whose header states an empty image."""
    _write_png_chunks(path, (width, height), 8, b"")


def _write_png_chunks(path: Path, size: tuple[int, int], bits: int, rows: bytes) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def _of_mode(mode: str) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(make_image(0, 16, 16)).convert(mode).save(path)


CONVERTIBLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "16-bit": (write_png16, "16-bit RGB"),
    "16-bit grey": (lambda path: Image.fromarray(np.zeros((16, 16), np.uint16)).save(path), "8-bit RGB"),
    "grey": (_of_mode("L"), "grey"),
    "RGBA": (_of_mode("RGBA"), "RGBA"),
    "palette": (_of_mode("P"), "palette"),
    "EXIF-rotated JPEG": (write_rotated_jpeg, "EXIF rotation"),
}
"""Test images of another kind, by name: what writes one, and words of the message that refuses it."""

BAD_IMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    **CONVERTIBLE,
    "truncated PNG": (write_truncated_png, "is damaged"),
    "0x0": (write_without_pixels, "has no pixels (0x0)"),
    "zero width": (lambda path: write_without_pixels(path, height=16), "has no pixels (0x16)"),
    "empty file": (lambda path: path.write_bytes(b"") and None, "0 bytes"),
    "not an image": (lambda path: path.write_text("hello") and None, "not an image"),
}
"""Everything that a test set may not hold, in the same form."""
