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

from harness.cards import catalogue, find_card, load_card
from harness.errors import UserError
from harness.images import read_photo, read_rgb, to_pixels, to_tensor, write_png
from harness.pairs import content_hash, load_pairs
from tests.conftest import picture, write_pairs


def png16(path: Path, side: int = 16) -> None:
    """A 16-bit RGB PNG, which PIL itself cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

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


def no_pixels(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0)
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
    "0x0": (no_pixels, ""),
    "empty file": (lambda p: p.write_bytes(b""), "0 bytes"),
    "no image": (lambda p: p.write_text("hello"), "not an image"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_lr_image_is_refused_with_its_path_before_any_compute(name: str, pairs_folder: Path) -> None:
    make, words = BAD[name]
    victim = pairs_folder / "LR" / "b.png"
    victim.unlink()
    make(victim)
    with pytest.raises(UserError) as caught:
        load_pairs(find_card(str(pairs_folder)))
    assert str(victim) in caught.value.what and words in caught.value.what
    assert caught.value.mend


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
        (lambda f: (f / "LR" / "notes.txt").write_text("x"), "notes.txt is not an image"),
        (lambda f: Image.fromarray(picture(0, 60, 64)).save(f / "HR" / "b.png"), "must be 64x64"),
    ],
)
def test_a_folder_that_does_not_pair_up(break_it, words: str, pairs_folder: Path) -> None:
    break_it(pairs_folder)
    with pytest.raises(UserError) as caught:
        load_pairs(find_card(str(pairs_folder)))
    assert words in caught.value.what


def test_wrong_count_against_a_card(tmp_path: Path) -> None:
    write_pairs(tmp_path / "RealSR", ["a", "b"], lr=128)
    with pytest.raises(UserError, match=r"RealSR has 100 images, but .* holds 2"):
        load_pairs(find_card("RealSR"), tmp_path)


def test_right_names_but_other_pixels_are_not_the_set(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "mine", ["a"])
    card = tmp_path / "mine.toml"
    card.write_text('id = "mine"\ntitle = "m"\nscale = 4\nlicence = "x"\nsource = "y"\nroot = "mine"\n')
    good = content_hash(load_pairs(load_card(card)))
    card.write_text(card.read_text() + f'content_hash = "{good}"\n')
    assert len(load_pairs(load_card(card))) == 1
    Image.fromarray(picture(9, 64, 64)).save(folder / "HR" / "a.png")
    with pytest.raises(UserError, match="not its pixels"):
        load_pairs(load_card(card))


def test_lossless_reencoding_keeps_the_content_hash(pairs_folder: Path) -> None:
    before = content_hash(load_pairs(find_card(str(pairs_folder))))
    for path in [*pairs_folder.glob("*/*.png")]:
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    assert content_hash(load_pairs(find_card(str(pairs_folder)))) == before


@pytest.mark.parametrize("layout", [("test_LR", "test_HR"), ("lq", "gt"), ("LR", "HR")])
def test_known_layouts(layout: tuple[str, str], pairs_folder: Path) -> None:
    (pairs_folder / "LR").rename(pairs_folder / "_l")
    (pairs_folder / "HR").rename(pairs_folder / "_h")
    (pairs_folder / "_l").rename(pairs_folder / layout[0])
    (pairs_folder / "_h").rename(pairs_folder / layout[1])
    assert len(load_pairs(find_card(str(pairs_folder)))) == 4


def test_a_set_without_hr(pairs_folder: Path) -> None:
    for folder in (pairs_folder, pairs_folder / "LR"):
        if folder == pairs_folder:
            shutil.rmtree(pairs_folder / "HR")
        pairs = load_pairs(find_card(str(folder)))
        assert len(pairs) == 4 and all(p.hr is None for p in pairs)


def test_data_roots(pairs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "small.toml"
    card.write_text('id = "small"\ntitle = "m"\nscale = 4\nlicence = "x"\nsource = "y"\ncount = 4\n')
    for root in (pairs_folder, pairs_folder.parent):
        assert len(load_pairs(load_card(card), root)) == 4
    monkeypatch.setenv("ISRBENCH_DATA", str(pairs_folder.parent))
    assert len(load_pairs(load_card(card))) == 4
    monkeypatch.delenv("ISRBENCH_DATA")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="was not found below data"):
        load_pairs(load_card(card))


def test_every_shipped_card_is_valid_and_named_after_its_file() -> None:
    assert {"RealSR", "DRealSR", "DIV2K-val", "sample"} <= set(catalogue())
    for name, path in catalogue().items():
        assert load_card(path).id == name


def test_a_card_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "x.toml"
    card.write_text('id = "x"\ntitle = "m"\nscale = 4\nlicence = "x"\nsource = "y"\nscael = 4\n')
    with pytest.raises(UserError, match="scael"):
        load_card(card)


def test_the_folder_of_cards_does_not_shadow_hugging_face_datasets() -> None:
    import datasets

    assert hasattr(datasets, "load_dataset")
    cards = Path(__file__).resolve().parents[1] / "datasets"
    assert not list(cards.rglob("*.py"))


def test_realsr_is_the_published_set(realsr: Path) -> None:
    pairs = load_pairs(find_card("RealSR"), realsr)
    assert len(pairs) == 100 and content_hash(pairs) == find_card("RealSR").content_hash
