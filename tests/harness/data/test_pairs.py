"""Pairs: joined by stem, refused before any compute where anything is odd, and drawn in part."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isrbench.harness.data.catalogue import find_card, load_card
from isrbench.harness.data.pairs import choose, content_hash, image_ids, load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.convert import convert
from isrbench.harness.imaging.images import hr_hash, lr_hash, read_rgb
from tests.support.cards import refusal, write_card
from tests.support.images import BAD_IMAGES, make_image, write_pairs
from tests.support.odd_images import NO_IMAGES, wide_profile

# ---------------------------------------------------------------- joined and checked


@pytest.mark.parametrize("side", ["LR", "HR"])
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_refused_with_its_path_before_any_compute(name: str, side: str, pairs_folder: Path) -> None:
    write, words = BAD_IMAGES[name]
    victim = pairs_folder / side / ("b.jpg" if "JPEG" in name else "b.png")
    (pairs_folder / side / "b.png").unlink()
    write(victim)
    error = refusal(pairs_folder)
    assert str(victim) in error.message and words in error.message and error.fix


def test_pairs_are_joined_by_stem_and_sorted(pairs_folder: Path) -> None:
    (pairs_folder / "HR" / "a.png").rename(pairs_folder / "HR" / "a.tmp")
    Image.open(pairs_folder / "HR" / "a.tmp").save(pairs_folder / "HR" / "a.bmp")
    (pairs_folder / "HR" / "a.tmp").unlink()
    pairs = load_pairs(find_card(str(pairs_folder)))
    assert [p.id for p in pairs] == ["a", "b", "c", "d"]
    first = pairs[0]
    assert first.hr is not None and first.hr.name == "a.bmp" and first.size == (16, 16)
    assert (first.lr_hash, first.hr_hash) == (lr_hash(read_rgb(first.lr)), hr_hash(read_rgb(first.hr)))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: (f / "HR" / "c.png").unlink(), "1 in LR have no partner in HR (c)"),
        (lambda f: (f / "LR" / "c.png").unlink(), "1 in HR have no partner in LR (c)"),
        (lambda f: shutil.copy(f / "LR" / "a.png", f / "LR" / "a.bmp"), "same stem"),
        (lambda f: shutil.copy(f / "HR" / "a.png", f / "HR" / "a.bmp"), "same stem"),
        (lambda f: (f / "LR" / "notes.txt").write_text("x"), "notes.txt is not an image"),
        (lambda f: (f / "HR" / "notes.txt").write_text("x"), "notes.txt is not an image"),
        (lambda f: Image.fromarray(make_image(0, 60, 64)).save(f / "HR" / "b.png"), "must be 64x64"),
    ],
)
def test_a_folder_that_does_not_pair_up(break_it: Callable[[Path], object], words: str, pairs_folder: Path) -> None:
    break_it(pairs_folder)
    assert words in refusal(pairs_folder).message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lr_size = [16, 20]", "a.png is 16x16; mine has LR images of 20x16"),
        ("hr_size = [64, 60]", "a.png is 64x64; mine has HR images of 60x64"),
        ("count = 5", "mine has 5 images"),
        ('levels = "levels.csv"', "small/levels.csv does not exist"),
        ('levels = "columns.csv"', "columns.csv has the columns name, severity; it needs image and level"),
        ('levels = "short.csv"', "short.csv has no level for c"),
        ('levels = "empty.csv"', "empty.csv has the columns none"),
        ('levels = "latin.csv"', "small/latin.csv cannot be read: it is not UTF-8 text"),
        ('layouts = [["x", "y"]]', "has no sub-folders x/y"),
    ],
)
def test_data_that_is_not_what_its_card_says(line: str, words: str, pairs_folder: Path, tmp_path: Path) -> None:
    (pairs_folder / "columns.csv").write_text("name,severity\na,0.1\n")
    (pairs_folder / "short.csv").write_text("image,level\na,0.1\nb,0.2\nc\n")
    (pairs_folder / "empty.csv").write_text("")
    (pairs_folder / "latin.csv").write_bytes("image,level\né,0.1\n".encode("latin-1"))
    error = refusal(write_card(tmp_path / "mine.toml", 'root = "small"', line))
    assert words in error.message and error.fix and "--dataset" not in error.fix


def test_a_card_whose_root_does_not_exist(tmp_path: Path) -> None:
    error = refusal(write_card(tmp_path / "mine.toml", 'root = "gone"'))
    assert str(tmp_path / "gone") in error.message and "root" in (error.fix or "")


def test_levels_are_read_with_or_without_a_byte_order_mark(pairs_folder: Path, tmp_path: Path) -> None:
    card = write_card(tmp_path / "mine.toml", 'root = "small"', 'levels = "levels.csv"')
    for encoding in ("utf-8", "utf-8-sig"):
        (pairs_folder / "levels.csv").write_text("image,level\na,0.1\nb,0.2\nc,0.3\nd,0.4\n", encoding=encoding)
        assert [p.level for p in load_pairs(load_card(card))] == ["0.1", "0.2", "0.3", "0.4"]


def test_decoding_many_images_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="isrbench")
    folder = write_pairs(tmp_path / "many", [f"{i:03d}" for i in range(501)], lr=1)
    load_pairs(find_card(str(folder)), limit=500)
    assert "decoding" not in caplog.text
    load_pairs(find_card(str(folder)))
    assert "decoding and checking 501 images of many" in caplog.text


# ---------------------------------------------------------------- sets without HR


@pytest.mark.parametrize("line", ["", "count = 4", "has_hr = false", "count = 4\nhas_hr = false"])
def test_a_card_of_lr_images_alone_works(line: str, pairs_folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(pairs_folder / "HR")
    pairs = load_pairs(load_card(write_card(tmp_path / "mine.toml", 'root = "small"', line)))
    assert len(pairs) == 4 and all(p.hr is None and p.hr_hash is None for p in pairs)


def test_a_card_that_says_that_it_has_hr_needs_hr(pairs_folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(pairs_folder / "HR")
    error = refusal(write_card(tmp_path / "mine.toml", 'root = "small"', "has_hr = true"))
    assert "has no sub-folders test_LR/test_HR" in error.message


def test_a_folder_without_hr(pairs_folder: Path) -> None:
    shutil.rmtree(pairs_folder / "HR")
    for folder in (pairs_folder, pairs_folder / "LR"):
        pairs = load_pairs(find_card(str(folder)))
        assert len(pairs) == 4 and all(p.hr is None for p in pairs)


# ---------------------------------------------------------------- content


def test_right_names_but_other_pixels_are_not_the_set(pairs_folder: Path, tmp_path: Path) -> None:
    card = write_card(tmp_path / "mine.toml", 'root = "small"')
    good = content_hash(load_pairs(load_card(card)))
    write_card(card, 'root = "small"', f'content_hash = "{good}"')
    assert len(load_pairs(load_card(card))) == 4
    Image.fromarray(make_image(9, 64, 64)).save(pairs_folder / "HR" / "a.png")
    error = refusal(card)
    assert "not its pixels" in error.message and "correct `content_hash` in its card" in (error.fix or "")
    assert [p.id for p in load_pairs(load_card(card), limit=2)] == ["a", "c"], "a part of a set has no known hash"


def test_other_pixels_under_the_names_of_a_shipped_set(tmp_path: Path) -> None:
    folder = tmp_path / "sample"
    shutil.copytree(find_card("sample").root or "", folder)
    Image.fromarray(make_image(9, 256, 256)).save(folder / "HR" / "cat_mild.png")
    card = find_card("sample").model_copy(update={"root": folder})
    with pytest.raises(UserError, match="not its pixels") as caught:
        load_pairs(card)
    assert f"sample-folder: --dataset {folder}" in (caught.value.fix or "")


def test_lossless_reencoding_keeps_the_content_hash(pairs_folder: Path) -> None:
    before = content_hash(load_pairs(find_card(str(pairs_folder))))
    for path in [*pairs_folder.glob("*/*.png")]:
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    assert content_hash(load_pairs(find_card(str(pairs_folder)))) == before


@pytest.mark.parametrize("ending", ["avif", "jfif", "jp2", "ppm", "TIF", "dat"])
def test_an_image_of_any_kind_that_is_read_belongs_to_a_set(ending: str, pairs_folder: Path) -> None:
    lr = pairs_folder / "LR" / "a.png"
    kind = {"jfif": "JPEG", "jp2": "JPEG2000", "dat": "PNG", "TIF": "TIFF"}.get(ending, ending.upper())
    Image.open(lr).save(lr.with_suffix(f".{ending}"), format=kind)
    lr.unlink()
    pairs = load_pairs(find_card(str(pairs_folder)))
    assert [p.id for p in pairs] == ["a", "b", "c", "d"] and pairs[0].lr.suffix == f".{ending}"


@pytest.mark.parametrize("kind", NO_IMAGES)
def test_what_is_no_image_of_a_set_is_called_what_it_is(kind: str, pairs_folder: Path) -> None:
    content, words = NO_IMAGES[kind]
    (pairs_folder / "LR" / "a.bin").write_bytes(content)
    error = refusal(pairs_folder)
    assert f"a.bin is {words}" in error.message and "move it out" in (error.fix or "")


def test_a_gif_is_refused_as_what_it_is_with_a_fix_that_works(pairs_folder: Path) -> None:
    lr = pairs_folder / "LR" / "a.png"
    Image.open(lr).save(lr.with_suffix(".gif"))
    lr.unlink()
    error = refusal(pairs_folder)
    assert "a.gif is a palette image" in error.message and "isrbench tools convert" in (error.fix or "")
    assert convert(lr.with_suffix(".gif")) == lr
    assert len(load_pairs(find_card(str(pairs_folder)))) == 4


def test_a_profile_or_a_jpeg_under_a_pngs_name_is_noted_once_for_all_images(pairs_folder: Path, caplog) -> None:
    before = content_hash(load_pairs(find_card(str(pairs_folder))))
    assert not caplog.records
    for path in sorted((pairs_folder / "HR").iterdir()):
        Image.open(path).save(path, icc_profile=wide_profile())
    jpeg = pairs_folder / "LR" / "a.png"
    assert content_hash(load_pairs(find_card(str(pairs_folder)))) == before, "values are taken as they stand"
    Image.open(jpeg).save(jpeg, format="JPEG")
    caplog.clear()
    load_pairs(find_card(str(pairs_folder)))
    assert len(caplog.records) == 2
    assert f"{jpeg}: it is a JPEG by its content" in caplog.text and "profile (Wide RGB)" in caplog.text


def test_realsr_is_the_published_set(realsr: Path) -> None:
    pairs = load_pairs(find_card("RealSR"), realsr)
    assert len(pairs) == 100 and content_hash(pairs) == find_card("RealSR").content_hash


# ---------------------------------------------------------------- a part of a set


IDS = st.lists(st.text("abcdef019_", min_size=1, max_size=6), min_size=1, max_size=60, unique=True)


@given(ids=IDS, limit=st.integers(1, 80))
def test_a_limit_draws_evenly_over_the_sorted_ids(ids: list[str], limit: int) -> None:
    chosen, ordered = choose(ids, limit=limit), sorted(ids)
    places = [ordered.index(id) for id in chosen]
    assert len(chosen) == min(limit, len(ids)) and places == sorted(set(places)) and places[0] == 0
    gaps = [b - a for a, b in zip(places, [*places[1:], len(ids)], strict=True)]
    assert max(gaps) - min(gaps) <= 1
    assert choose(ids[::-1], limit=limit) == chosen


@given(ids=IDS, sample=st.integers(1, 80), seed=st.integers(0, 2**32))
def test_a_sample_is_sorted_repeatable_and_part_of_a_larger_one(ids: list[str], sample: int, seed: int) -> None:
    chosen = choose(ids, sample=sample, seed=seed)
    assert len(chosen) == min(sample, len(ids)) and chosen == sorted(set(chosen)) and set(chosen) <= set(ids)
    assert choose(ids[::-1], sample=sample, seed=seed) == chosen
    assert set(chosen) <= set(choose(ids, sample=sample + 1, seed=seed))


def test_a_sample_follows_the_seed_and_not_pythons_hashes() -> None:
    ids = [f"{i:03d}" for i in range(100)]
    draws = {tuple(choose(ids, sample=10, seed=seed)) for seed in range(20)}
    assert len(draws) == 20
    code = f"from isrbench.harness.data.pairs import choose; print(choose({ids}, sample=10, seed=3))"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": hash_seed}
        )
        assert done.stdout.strip() == str(choose(ids, sample=10, seed=3))


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        ({"limit": 0}, "--limit is 0"),
        ({"sample": -1}, "--sample is -1"),
        ({"limit": 2, "sample": 2}, "--limit and --sample are both given"),
    ],
)
def test_a_draw_that_cannot_be(draw: dict[str, int], words: str, pairs_folder: Path) -> None:
    with pytest.raises(UserError, match=words) as caught:
        load_pairs(find_card(str(pairs_folder)), **draw)
    assert caught.value.fix


def test_only_the_chosen_images_are_decoded_but_all_names_are_checked(pairs_folder: Path) -> None:
    (pairs_folder / "HR" / "b.png").write_text("not an image")
    card = find_card(str(pairs_folder))
    assert [p.id for p in load_pairs(card, limit=2)] == ["a", "c"] and image_ids(card) == ("a", "b", "c", "d")
    assert "not an image" in refusal(pairs_folder).message
    (pairs_folder / "HR" / "b.png").unlink()
    with pytest.raises(UserError, match="no partner"):
        load_pairs(card, limit=2)
    with pytest.raises(UserError, match="no partner"):
        image_ids(card)


def test_more_than_there_are_is_the_whole_set(pairs_folder: Path) -> None:
    card = find_card(str(pairs_folder))
    whole = load_pairs(card)
    assert load_pairs(card, limit=9) == load_pairs(card, sample=9) == whole


@pytest.mark.parametrize("sub", ["LR", "HR"])
def test_a_file_name_that_is_not_utf_8_is_refused(sub: str, pairs_folder: Path) -> None:
    odd = pairs_folder / sub / os.fsdecode(b"caf\xe9.png")
    (pairs_folder / sub / "a.png").rename(odd)
    error = refusal(pairs_folder)
    assert "caf\\udce9.png is not UTF-8" in error.message and "rename" in (error.fix or "")
