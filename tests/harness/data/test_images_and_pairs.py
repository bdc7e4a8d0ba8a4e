"""What is refused before any compute, and how it is said."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_photo, read_rgb, to_pixels, to_tensor, write_png
from tests.conftest import picture


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(path: Path, side: int = 16) -> None:
    """A 16-bit RGB PNG, which PIL itself cannot write."""
    rows = b"".join(b"\0" + bytes(range(6)) * side for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def truncated(path: Path) -> None:
    Image.fromarray(picture(0, 16, 16)).save(path)
    path.write_bytes(path.read_bytes()[:-400])


def rotated_jpeg(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0, 16, 16)).save(path, format="JPEG", exif=exif)


def no_pixels(path: Path, width: int = 0, height: int = 0) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


BAD = {
    "truncated PNG": (truncated, "is damaged"),
    "16-bit": (png16, "16-bit RGB"),
    "16-bit grey": (lambda p: Image.fromarray(np.zeros((16, 16), np.uint16)).save(p), "8-bit RGB"),
    "grey": (lambda p: Image.fromarray(picture(0, 16, 16)).convert("L").save(p), "grey"),
    "RGBA": (lambda p: Image.fromarray(picture(0, 16, 16)).convert("RGBA").save(p), "RGBA"),
    "palette": (lambda p: Image.fromarray(picture(0, 16, 16)).convert("P").save(p), "palette"),
    "EXIF-rotated JPEG": (rotated_jpeg, "EXIF rotation"),
    "0x0": (no_pixels, "has no pixels (0x0)"),
    "zero width": (lambda p: no_pixels(p, height=16), "has no pixels (0x16)"),
    "empty file": (lambda p: p.write_bytes(b""), "0 bytes"),
    "no image": (lambda p: p.write_text("hello"), "not an image"),
}


@pytest.mark.parametrize("side", ["LR", "HR"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_refused_with_its_path_before_any_compute(name: str, side: str, pairs_folder: Path) -> None:
    make, words = BAD[name]
    victim = pairs_folder / side / ("b.jpg" if "JPEG" in name else "b.png")
    (pairs_folder / side / "b.png").unlink()
    make(victim)
    with pytest.raises(UserError) as caught:
        load_pairs(find_card(str(pairs_folder)))
    assert str(victim) in caught.value.message and words in caught.value.message
    assert caught.value.fix


def test_good_images_are_read_as_they_stand(tmp_path: Path) -> None:
    pixels = picture(3, 9, 7)
    write_png(tmp_path / "x.png", pixels)
    assert np.array_equal(read_rgb(tmp_path / "x.png"), pixels)
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"], "a partial file was left behind"


@given(st.integers(0, 255))
def test_eight_bit_values_survive_float(value: int) -> None:
    pixels = np.full((1, 1, 3), value, np.uint8)
    assert np.array_equal(to_pixels(to_tensor(pixels)), pixels)


def test_floats_are_clamped_and_rounded_half_up() -> None:
    image = torch.tensor([-0.1, 0.4999 / 255, 0.5 / 255, 1.7]).view(1, 1, 4).expand(3, 1, 4)
    assert to_pixels(image)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_a_photo_is_turned_upright_and_made_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(0, 10, 20)).save(tmp_path / "r.jpg", exif=exif, quality=95)
    assert read_photo(tmp_path / "r.jpg").shape == (20, 10, 3)
    Image.fromarray(picture(0, 8, 8)).convert("L").save(tmp_path / "g.png")
    assert read_photo(tmp_path / "g.png").shape == (8, 8, 3)
    Image.new("RGBA", (4, 4), (1, 2, 3, 100)).save(tmp_path / "t.png")
    with pytest.raises(UserError, match="transparent"):
        read_photo(tmp_path / "t.png")


def test_pairs_are_joined_by_stem_and_sorted(pairs_folder: Path) -> None:
    (pairs_folder / "HR" / "a.png").rename(pairs_folder / "HR" / "a.tmp")
    Image.open(pairs_folder / "HR" / "a.tmp").save(pairs_folder / "HR" / "a.bmp")
    (pairs_folder / "HR" / "a.tmp").unlink()
    pairs = load_pairs(find_card(str(pairs_folder)))
    assert [p.id for p in pairs] == ["a", "b", "c", "d"]
    assert pairs[0].hr is not None and pairs[0].hr.name == "a.bmp"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: (f / "HR" / "c.png").unlink(), "1 in LR have no partner in HR (c)"),
        (lambda f: (f / "LR" / "c.png").unlink(), "1 in HR have no partner in LR (c)"),
        (lambda f: shutil.copy(f / "LR" / "a.png", f / "LR" / "a.bmp"), "same stem"),
        (lambda f: shutil.copy(f / "HR" / "a.png", f / "HR" / "a.bmp"), "same stem"),
        (lambda f: (f / "LR" / "notes.txt").write_text("x"), "notes.txt is not an image"),
        (lambda f: (f / "HR" / "notes.txt").write_text("x"), "notes.txt is not an image"),
        (lambda f: Image.fromarray(picture(0, 60, 64)).save(f / "HR" / "b.png"), "must be 64x64"),
    ],
)
def test_a_folder_that_does_not_pair_up(break_it, words: str, pairs_folder: Path) -> None:
    break_it(pairs_folder)
    with pytest.raises(UserError) as caught:
        load_pairs(find_card(str(pairs_folder)))
    assert words in caught.value.message
