"""Pixels are never changed in silence: each kind of file is refused, or converted with a note, at every door."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.colour import is_srgb, title_of
from isrbench.harness.imaging.convert import convert
from isrbench.harness.imaging.images import read_noted, read_rgb, tell_notes
from isrbench.harness.imaging.photos import check_photo, open_photo
from tests.support.odd_images import NO_IMAGES, ODD, cmyk_profile, pixels, wide_profile, write_jpeg, write_wide


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_image_is_refused_as_a_test_image_and_refused_or_converted_as_a_photo(kind: str, tmp_path: Path) -> None:
    name, write, as_test_image, as_photo, _ = ODD[kind]
    path = tmp_path / name
    write(path)
    with pytest.raises(UserError) as caught:
        read_rgb(path)
    assert as_test_image in caught.value.message and caught.value.message.startswith(str(path)) and caught.value.fix
    if not as_photo:
        assert open_photo(path).pixels.shape == (16, 16, 3)
        assert check_photo(path) == open_photo(path).notes
        return
    for read in (open_photo, check_photo):
        with pytest.raises(UserError) as refused:
            read(path)
        assert as_photo in refused.value.message and refused.value.fix


@pytest.mark.parametrize("kind", ODD)
def test_the_fix_that_a_message_names_works(kind: str, tmp_path: Path, caplog) -> None:
    name, write, _, _, note = ODD[kind]
    path = tmp_path / name
    write(path)
    with pytest.raises(UserError) as caught:
        read_rgb(path)
    if "tools convert" not in (caught.value.fix or "") or kind.startswith(("10-bit", "12-bit")):  # no real pixels
        return
    with caplog.at_level(logging.WARNING):
        made = convert(path)
    assert read_rgb(made).shape[2] == 3 and note in caplog.text and bool(note) is bool(caplog.records)


def test_cmyk_is_converted_by_its_profile(tmp_path: Path) -> None:
    image = Image.fromarray(pixels()).convert("CMYK")
    image.save(tmp_path / "inks.tif", icc_profile=cmyk_profile())
    image.save(tmp_path / "plain.tif")
    inks, plain = (read_rgb(convert(tmp_path / name)).astype(int) for name in ("inks.tif", "plain.tif"))
    assert np.ptp(inks, axis=2).max() < 8 < np.ptp(plain, axis=2).max()


def test_a_profile_for_rgb_stays_with_the_pixels(tmp_path: Path, caplog) -> None:
    write_wide(tmp_path / "wide.png")
    photo = open_photo(tmp_path / "wide.png")
    assert np.array_equal(photo.pixels, pixels()) and photo.profile == wide_profile() and not photo.notes
    assert "Wide RGB" in photo.profile_left_out[0] and check_photo(tmp_path / "wide.png") == photo.profile_left_out
    values, notes = read_noted(tmp_path / "wide.png")
    assert np.array_equal(values, pixels()) and len(notes) == 1 and "Wide RGB" in notes[0]
    Image.fromarray(pixels()).convert("RGBA").save(tmp_path / "wide.webp", icc_profile=wide_profile(), lossless=True)
    Image.fromarray(pixels()).convert("RGBA").save(tmp_path / "deep.png", icc_profile=wide_profile())
    assert Image.open(convert(tmp_path / "deep.png")).info["icc_profile"] == wide_profile()
    assert convert(tmp_path / "wide.png") == tmp_path / "wide.png" and "stays as it is" in caplog.text


def test_what_sRGB_calls_itself_makes_no_difference() -> None:
    from PIL import ImageCms

    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert is_srgb(plain) and not is_srgb(wide_profile()) and title_of(wide_profile()) == "Wide RGB"
    broken = wide_profile()[:200]
    assert not is_srgb(broken) and title_of(broken) == "damaged"


def test_a_jpeg_that_is_called_a_png_is_read_and_noted(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.png")
    write_jpeg(tmp_path / "a.jpg")
    assert "JPEG by its content" in read_noted(tmp_path / "a.png")[1][0]
    assert "JPEG by its content" in open_photo(tmp_path / "a.png").notes[0]
    assert not read_noted(tmp_path / "a.jpg")[1] and not open_photo(tmp_path / "a.jpg").notes


def test_one_note_about_many_photos_is_one_line(caplog) -> None:
    tell_notes([(f"{n}.jpg", ("it is turned upright",)) for n in range(9)] + [("x.png", ())])
    assert [r.message for r in caplog.records] == ["0.jpg, 1.jpg, 2.jpg, 3.jpg and 5 more: it is turned upright"]


@pytest.mark.parametrize("kind", NO_IMAGES)
@pytest.mark.parametrize("ending", [".png", ".eps"])
def test_what_is_no_image_is_refused_as_what_it_is(kind: str, ending: str, tmp_path: Path) -> None:
    content, words = NO_IMAGES[kind]
    path = tmp_path / f"a{ending}"
    path.write_bytes(content)
    for read in (read_rgb, open_photo, check_photo, convert):
        with pytest.raises(UserError) as caught:
            read(path)
        assert f"{path} is {words}" in caught.value.message and caught.value.fix
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
