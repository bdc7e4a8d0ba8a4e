"""The one place that opens images: its bounds, and what it says of files that it does not open."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from isrbench.harness.errors import UserError
from isrbench.harness.imaging import photos
from isrbench.harness.imaging.images import read_noted, read_rgb, read_size, write_png
from isrbench.harness.imaging.opening import SET_PIXELS, opened
from isrbench.harness.imaging.photos import check_photo, open_photo
from tests.support.images import make_image


@pytest.mark.parametrize("kind", ["png", "tif", "webp", "jpg", "gif"])
def test_pillows_limit_does_not_hold_for_test_sets_and_still_does_for_everyone_else(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, found = tmp_path / f"a.{kind}", []
    Image.fromarray(make_image(0, 16, 16)).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    def elsewhere() -> None:
        try:
            Image.open(path).load()
        except Image.DecompressionBombError as error:
            found.append(error)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(path) as image:
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            assert np.array_equal(np.asarray(image.convert("RGB")), expected)
    assert len(found) == 1 and Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)


def test_the_limit_is_back_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.png").write_bytes(b"rubbish")
    with pytest.raises(UserError):
        read_rgb(tmp_path / "bad.png")
    Image.fromarray(make_image(0, 16, 16)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "a.png")


def test_the_bound_of_a_photo_and_of_a_test_image_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_png(tmp_path / "a.png", make_image(0, 16, 16))
    with (
        pytest.raises(UserError, match="is 16x16, 256 pixels; 100 are the most") as caught,
        opened(tmp_path / "a.png", most=100),
    ):
        pass
    assert caught.value.fix
    monkeypatch.setattr(photos, "PHOTO_PIXELS", 255)
    for read in (open_photo, check_photo):
        with pytest.raises(UserError, match="255 are the most"):
            read(tmp_path / "a.png")
    assert read_rgb(tmp_path / "a.png").shape == (16, 16, 3) and SET_PIXELS > 13400**2


def test_a_header_that_promises_too_much_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    from tests.support.images import write_without_pixels

    write_without_pixels(tmp_path / "bomb.png", 60_000, 60_000)
    with pytest.raises(UserError, match=r"60000x60000, 3,600,000,000 pixels; 1,073,741,824 are the most"):
        read_size(tmp_path / "bomb.png")


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", Path("/dev/zero")):
        with pytest.raises(UserError, match="is not a plain file"):
            read_rgb(path)
    with pytest.raises(UserError, match="is a folder"):
        read_rgb(tmp_path)


@pytest.mark.parametrize(("kind", "words"), [("avif", "an AVIF"), ("webp", "a WebP"), ("jp2", "a JPEG 2000")])
def test_a_kind_that_this_pillow_lacks_is_called_so(
    kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(make_image(0, 16, 16)).save(tmp_path / f"a.{kind}")
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(UserError, match=f"is {words}, which the installed Pillow cannot read") as caught:
        read_rgb(tmp_path / f"a.{kind}")
    assert "pillow" in (caught.value.fix or "")


@pytest.mark.parametrize("kind", ["avif", "jp2", "j2k", "jfif", "webp", "ppm", "bmp", "tif", "png"])
@pytest.mark.parametrize("ending", [".png", ".JFIF", ".dat", ""])
def test_content_decides_and_not_the_ending(kind: str, ending: str, tmp_path: Path) -> None:
    saved = tmp_path / f"a.{kind}"
    lossless = (
        {"quality": 100, "subsampling": "4:4:4"} if kind == "avif" else {"lossless": True} if kind == "webp" else {}
    )
    Image.fromarray(make_image(0, 16, 16)).save(saved, **lossless)
    expected = np.asarray(Image.open(saved).convert("RGB"))
    path = saved.rename(tmp_path / f"b{ending}")
    assert np.array_equal(read_rgb(path), expected) and np.array_equal(open_photo(path).pixels, expected)


def test_a_phones_jpeg_of_several_parts_is_its_first(tmp_path: Path) -> None:
    pixels, depth = (Image.fromarray(make_image(seed, 16, 16)) for seed in (0, 1))
    pixels.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[depth], quality=95)
    pixels.save(tmp_path / "alone.jpg", quality=95)
    for path in (tmp_path / "a.jpg", tmp_path / "alone.jpg"):
        assert open_photo(path).notes == () and read_noted(path)[1] == ()
    assert np.array_equal(read_rgb(tmp_path / "a.jpg"), read_rgb(tmp_path / "alone.jpg"))
