"""folder: what the shared contract test cannot know."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import to_pixels, write_png
from isrbench.methods.folder import images
from isrbench.methods.folder.options import FolderOptions
from isrbench.methods.folder.plugin import PLUGIN
from tests.support.images import noise_image
from tests.support.odd_images import write_jpeg

_compile = re.compile


@pytest.fixture
def restored_folder(tmp_path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    write_png(made / "a.png", noise_image(16, 24))
    return made


def _build_folder(images: Path, suffix: str = "", ids: tuple[str, ...] = ()):
    return PLUGIN.make(FolderOptions(images, suffix), Runtime(scale=4, images=ids))


def test_folder_passes_pixels_through(restored_folder):
    method = _build_folder(restored_folder)
    restored = method.restore(torch.zeros(3, 4, 6), image="a", seed=0)
    assert np.array_equal(to_pixels(restored.image), noise_image(16, 24))
    assert method.input_hash("a") == file_hash(restored_folder / "a.png")


def test_the_input_hash_follows_the_image(restored_folder):
    method = _build_folder(restored_folder)
    before = method.input_hash("a")
    write_png(restored_folder / "a.png", noise_image(16, 24, seed=1))
    assert method.input_hash("a") != before


def test_folder_suffixes(restored_folder):
    write_png(restored_folder / "b_swin.png", noise_image(16, 24))
    write_png(restored_folder / "c_1.png", noise_image(16, 24))
    write_png(restored_folder / "c_2.png", noise_image(16, 24))
    lr = torch.zeros(3, 4, 6)
    assert _build_folder(restored_folder, "_swin").restore(lr, image="b", seed=0)
    assert _build_folder(restored_folder, "_*").restore(lr, image="b", seed=0)
    with pytest.raises(UserError, match="matches 2 files"):
        _build_folder(restored_folder, "_*").restore(lr, image="c", seed=0)
    with pytest.raises(UserError, match=r"holds no b\.png") as caught:
        _build_folder(restored_folder).restore(lr, image="b", seed=0)
    assert caught.value.fix == "-o 'suffix=_swin' would take b_swin.png"
    with pytest.raises(UserError, match="goes between"):
        FolderOptions(restored_folder, "_x.png")


def test_folder_refuses_a_wrong_size_and_a_missing_image(restored_folder):
    method = _build_folder(restored_folder)
    with pytest.raises(UserError, match="is 24x16, but a x4 is 20x20"):
        method.restore(torch.zeros(3, 5, 5), image="a", seed=0)
    with pytest.raises(UserError, match=r"holds no z\.png"):
        method.input_hash("z")


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        _build_folder(tmp_path / "absent")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"holds no PNG \(but images ending in \.jpg\)"):
        _build_folder(tmp_path)


def test_a_file_belongs_to_the_longest_name_that_begins_it(restored_folder):
    for stem in ("10_x4", "baby_x4", "babyface_x4", "12_a", "12b", "123", "70_x4"):
        write_png(restored_folder / f"{stem}.png", noise_image(16, 24))
    ids = ("1", "10", "a", "baby", "babyface", "12", "7")
    lr = torch.zeros(3, 4, 6)
    for suffix in ("*", "*_x4", "_*4"):
        method = _build_folder(restored_folder, suffix, ids)
        assert {image: method.input_hash(image) for image in ("10", "baby", "babyface")} == {
            image: file_hash(restored_folder / f"{image}_x4.png") for image in ("10", "baby", "babyface")
        }
        with pytest.raises(UserError, match=r"holds no 1.*\.png") as caught:
            method.restore(lr, image="1", seed=0)
        assert "10_x4.png is that of 10" in caught.value.message and "would take" not in (caught.value.fix or "")
    with pytest.raises(UserError, match=r"12\*\.png matches 2 files .*: 12_a, 12b"):
        _build_folder(restored_folder, "*", ids).input_hash("12")
    for known in (ids, ()):  # the set need not hold an image 70, nor be known at all
        with pytest.raises(UserError, match=r"holds no 7\*\.png") as caught:
            _build_folder(restored_folder, "*", known).input_hash("7")
        assert caught.value.fix == "save the result of 7 there as 7.png"


@pytest.mark.parametrize(("stem", "image"), [("SR_img1", "img1"), ("B_x4", "b"), ("my-1-x4", "1")])
def test_a_result_whose_name_does_not_begin_with_the_images_is_named(restored_folder, stem: str, image: str) -> None:
    for name in (stem, "SR_img10"):
        write_png(restored_folder / f"{name}.png", noise_image(16, 24))
    with pytest.raises(UserError) as caught:
        _build_folder(restored_folder, "_x4", ("none",)).input_hash(image)
    assert caught.value.fix is not None and f"if {stem}.png is its result, rename it {image}_x4.png" in caught.value.fix


def test_folder_reports_files_that_belong_to_no_image(restored_folder, tmp_path, caplog):
    write_png(restored_folder / "b.png", noise_image(16, 24))
    lr = tmp_path / "a.png"
    _build_folder(restored_folder, ids=("a", "b")).prepare([("a", lr)])  # b was left out on purpose, it is no stranger
    assert not caplog.records
    write_png(restored_folder / "stranger.png", noise_image(16, 24))
    _build_folder(restored_folder, ids=("a", "b")).prepare([("a", lr)])
    assert "of no image here are passed over: stranger.png" in caplog.text


def test_a_wildcard_over_thousands_of_results_looks_at_each_once(tmp_path, monkeypatch):
    """Whether they belong to images of the set, to none of them, or the set's images are not known."""
    ids = [f"img_{number:05d}" for number in range(2000)]
    for id in ids:
        (tmp_path / f"{id}_x4.png").touch()
    looked, begin = [], re.Pattern.fullmatch

    class Counted:
        def __init__(self, pattern):
            self._pattern = pattern

        def fullmatch(self, *args):
            looked.append(args)
            return begin(self._pattern, *args)

    monkeypatch.setattr(images.re, "compile", lambda pattern: Counted(_compile(pattern)))
    for known, asked in ((ids, ids), ((), ids), ([f"other_{id}" for id in ids],) * 2):
        method, found = _build_folder(tmp_path, "*", tuple(known)), 0
        for id in asked:
            try:
                method.input_hash(id)
                found += 1
            except UserError as error:
                assert error.fix == f"save the result of {id} there as {id}.png"
        assert found == (0 if asked[0].startswith("other") else 2000) and len(looked) <= 2000
        looked.clear()


def test_a_result_that_is_no_png_is_named(restored_folder):
    Image.fromarray(noise_image(16, 24)).save(restored_folder / "b.webp")
    with pytest.raises(UserError, match=r"holds no b\.png") as caught:
        _build_folder(restored_folder).restore(torch.zeros(3, 4, 6), image="b", seed=0)
    assert caught.value.fix == "save b.webp as PNG: results are read from PNGs, which lose nothing"


def test_a_jpeg_that_is_called_a_png_is_noted(restored_folder, caplog):
    write_jpeg(restored_folder / "b.png")
    method = _build_folder(restored_folder, "", ("a", "b"))
    method.prepare([("a", restored_folder), ("b", restored_folder), ("c", restored_folder)])
    (record,) = caplog.records
    assert "b.png: it is a JPEG by its content" in record.message and "a.png" not in record.message
