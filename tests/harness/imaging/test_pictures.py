"""Pictures to restore keep what belongs to them, and are written as their names say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.pictures import read_picture
from isrbench.harness.imaging.writing import check_fits, check_name, write_picture
from tests.support.images import make_image, write_png16
from tests.support.odd_images import ODD, cmyk_profile, grey_profile, pixels, wide_profile

_REFUSED = {"float TIFF", "float colour TIFF", "further channel", "animated GIF", "animated PNG", "pages", "Lab"}


@pytest.mark.parametrize("kind", ODD)
def test_every_odd_picture_is_taken_or_refused_in_words(kind: str, tmp_path: Path) -> None:
    name, write, *_ = ODD[kind]
    write(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    if kind in _REFUSED:
        with pytest.raises(UserError) as refused:
            read_picture(tmp_path / name)
        assert refused.value.fix and str(tmp_path / name) in refused.value.message
    else:
        picture = read_picture(tmp_path / name)
        assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == 3
        assert bool(picture.notes) == (kind not in {"opaque alpha", "palette", "grey"})
    assert (tmp_path / name).read_bytes() == before


def test_16_bits_are_rounded_and_not_cut(tmp_path: Path) -> None:
    write_png16(tmp_path / "a.png")  # of the values 0x0001, 0x0203 and 0x0405
    grey = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(grey).save(tmp_path / "g.png")
    header = (256, 3, 1), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 2), (273, 4, 200), (277, 3, 3)
    tiff = b"II*\0" + (8).to_bytes(4, "little") + (9).to_bytes(2, "little")
    for tag, kind, value in (*header, (278, 3, 1), (279, 4, 6)):
        tiff += b"".join(number.to_bytes(size, "little") for number, size in ((tag, 2), (kind, 2), (1, 4), (value, 4)))
    (tmp_path / "a.tif").write_bytes(tiff.ljust(200, b"\0") + np.array([255, 32767, 65279], "<u2").tobytes())
    assert (read_picture(tmp_path / "a.png").pixels == [0, 2, 4]).all()
    assert (read_picture(tmp_path / "g.png").pixels[..., 0] == np.rint(grey / 257)).all()
    deep = read_picture(tmp_path / "a.tif")
    assert deep.pixels.tolist() == [[[1, 127, 254]]], "the high bytes alone would be 0, 127 and 254"
    assert deep.notes == ("its 16 bits a channel are rounded to 8",)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(make_image(0, 5, 7)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_picture(tmp_path / "a.png").pixels, expected)


def test_a_picture_without_a_place_gets_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    Image.fromarray(make_image(0, 10, 20)).save(tmp_path / "in.jpg", exif=exif)
    write_picture(tmp_path / "out.jpg", make_image(0, 10, 20), exif=read_picture(tmp_path / "in.jpg").exif)
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.getexif()[271] == "Maker" and 0x8825 not in image.getexif()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_exif_and_profile_reach_the_file_in_every_format(ending: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[271], exif[33432], exif[305] = 6, "Maker", "(c) me", "Camera 1.0"
    exif[0x8769] = {36867: "2026:11:27 07:00:00", 37386: 50.0, 0xA002: 20, 0xA003: 10}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    Image.fromarray(make_image(0, 10, 20)).save(tmp_path / "in.jpg", exif=exif, icc_profile=wide_profile())
    picture = read_picture(tmp_path / "in.jpg")
    write_picture(tmp_path / f"out.{ending}", picture.pixels, profile=picture.profile, exif=picture.exif)
    with Image.open(tmp_path / f"out.{ending}") as image:
        kept = image.getexif()
        assert image.size == (10, 20) and image.info["icc_profile"] == wide_profile()
        assert (kept[271], kept[33432], kept[305], kept.get(0x0112, 1)) == ("Maker", "(c) me", "Camera 1.0", 1)
        assert kept.get_ifd(0x8769)[36867] == "2026:11:27 07:00:00" and kept.get_ifd(0x8825)[2] == (52.0, 31.0, 12.0)
        assert (kept.get_ifd(0x8769)[0xA002], kept.get_ifd(0x8769)[0xA003]) == (10, 20)
        if ending in {"png", "tif"}:
            assert np.array_equal(np.asarray(image), picture.pixels)


def test_a_damaged_exif_is_left_out_with_a_note(tmp_path: Path) -> None:
    content = b"II*\0\x08\0\0\0\x01\0" + b"\x0f\x01\x02\0\xff\xff\xff\x7f\xff\xff\xff\x7f" + bytes(4)
    Image.fromarray(make_image(0, 8, 8)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + content)
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.pixels.shape == (8, 8, 3) and picture.exif == b""


def test_colours_that_nobody_sees_do_not_bleed(tmp_path: Path) -> None:
    image = np.zeros((4, 6, 4), np.uint8)
    image[:, 3:] = (200, 100, 50, 255)
    image[:, 2] = (10, 20, 30, 1)
    Image.fromarray(image).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None and np.array_equal(picture.alpha, image[..., 3])
    assert (picture.pixels[:, :3] == (10, 20, 30)).all() and (picture.pixels[:, 3:] == (200, 100, 50)).all()


def test_profiles_of_other_colours_are_applied(tmp_path: Path) -> None:
    Image.fromarray(pixels()).convert("L").save(tmp_path / "g.png", icc_profile=grey_profile())
    Image.fromarray(pixels()).convert("CMYK").save(tmp_path / "c.tif", icc_profile=cmyk_profile())
    for name in ("g.png", "c.tif"):
        picture = read_picture(tmp_path / name)
        assert picture.profile is None and "was applied" in picture.notes[0]
        assert np.ptp(picture.pixels.astype(int), axis=2).max() < 8
    plain = np.asarray(Image.fromarray(pixels()).convert("L"))
    assert np.abs(read_picture(tmp_path / "g.png").pixels[..., 0].astype(int) - plain).max() > 8


def test_what_a_format_cannot_hold_is_said_before(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="PNG, JPEG, WebP or TIFF"):
        check_name(Path("a.gif"))
    with pytest.raises(UserError, match="cannot be transparent"):
        check_fits(Path("a.JPG"), 8, 8, transparent=True)
    with pytest.raises(UserError, match="16383 a side"):
        check_fits(Path("a.webp"), 8, 16_384, transparent=False)
    check_fits(Path("a.png"), 8, 70_000, transparent=True)
