"""``isrbench restore``: a user's own images."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from isrbench.harness.engine import restore_files
from tests.support.cli import isrbench
from tests.support.images import make_image, write_png16, write_rotated_jpeg
from tests.support.odd_images import NO_IMAGES, wide_profile, write_wide


def test_an_image_and_a_folder(tmp_path: Path, capsys) -> None:
    Image.fromarray(make_image(0, 12, 9)).save(tmp_path / "photo.jpg")
    target = tmp_path / "large.png"
    code, out, _ = isrbench(capsys, "restore", tmp_path / "photo.jpg", target, "--method", "bicubic")
    assert code == 0 and out.split() == [str(target)] and Image.open(target).size == (36, 48)
    code, _, err = isrbench(capsys, "restore", tmp_path / "photo.jpg", target, "--method", "bicubic")
    assert code == 2 and "exists already" in err and "--overwrite" in err
    assert isrbench(capsys, "restore", tmp_path / "photo.jpg", target, "--method", "bicubic", "--overwrite")[0] == 0
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(make_image(1, 8, 8)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"rubbish")
    (folder / "inner").mkdir()
    (folder / "inner" / "c.png").write_bytes((folder / "a.png").read_bytes())
    code, out, err = isrbench(capsys, "restore", folder, tmp_path / "out", "--method", "lanczos", "--scale", "2")
    assert "1 of 2 pictures restored" in err and "the images in its folders are left out: inner" in err
    assert code == 1 and Image.open(tmp_path / "out" / "a.png").size == (16, 16)
    assert "b.png" not in out and "b.png could not be restored" in err and "Traceback" not in err


def test_a_file_is_written_as_its_name_says(tmp_path: Path, capsys) -> None:
    Image.fromarray(make_image(0, 12, 9)).save(tmp_path / "photo.jpg")
    for name, kind in (("a.jpeg", "JPEG"), ("a.WEBP", "WEBP"), ("a.tif", "TIFF"), ("a.png", "PNG")):
        args = ("restore", tmp_path / "photo.jpg", tmp_path / name, "--method", "bicubic", "--scale", "1.5")
        assert isrbench(capsys, *args)[0] == 0
        with Image.open(tmp_path / name) as image:
            assert image.format == kind and image.size == (14, 18)
    code, _, err = isrbench(capsys, "restore", tmp_path / "photo.jpg", tmp_path / "a.gif", "--method", "bicubic")
    assert code == 2 and "as PNG, JPEG, WebP or TIFF" in err and "name it" in err


def test_emoji_codes_are_file_names(tmp_path: Path, capsys) -> None:
    Image.fromarray(make_image(0, 8, 8)).save(tmp_path / ":smile:.png")
    code, out, _ = isrbench(
        capsys, "restore", tmp_path / ":smile:.png", tmp_path / "x :smile:.png", "--method", "bicubic"
    )
    assert code == 0 and "x :smile:.png" in out


@pytest.mark.parametrize("scale", ["0", "-2"])
def test_an_impossible_scale(scale: str, tmp_path: Path, capsys) -> None:
    Image.fromarray(make_image(0, 8, 8)).save(tmp_path / "a.png")
    args = ("restore", tmp_path / "a.png", tmp_path / "b.png", "--method", "bicubic", "--scale", scale)
    code, _, err = isrbench(capsys, *args)
    assert code == 2 and f"the scale is {scale}" in err and "Traceback" not in err


@pytest.mark.parametrize("error", ["full", "place"])
def test_a_place_that_takes_nothing_stops_at_once(error: str, tmp_path: Path, capsys, monkeypatch) -> None:
    (tmp_path / "in").mkdir()
    for name in "ab":
        Image.fromarray(make_image(0, 8, 8)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "file").write_text("")
    tries = []

    def full(path: Path, pixels: object, **options: object) -> None:
        tries.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if error == "full":
        monkeypatch.setattr(restore_files, "write_picture", full)
    target = tmp_path / ("out" if error == "full" else "file/out")
    code, _, err = isrbench(capsys, "restore", tmp_path / "in", target, "--method", "bicubic")
    assert code == 2 and "Traceback" not in err and err.count("cannot be written") == 1 and len(tries) < 2


def test_pixels_are_not_changed_in_silence(tmp_path: Path, capsys) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    write_wide(folder / "wide.png")
    write_png16(folder / "deep.png")
    write_rotated_jpeg(folder / "turned.jpg")
    for ending in ("gif", "avif", "jfif", "jp2", "PNG"):
        Image.fromarray(make_image(0, 8, 8)).save(folder / f"{ending}.{ending}")
    (folder / "phone.heic").write_bytes(NO_IMAGES["HEIC"][0])
    code, said, err = isrbench(capsys, "restore", folder, out, "--method", "bicubic", "--scale", "2")
    assert code == 0 and "Traceback" not in err and len(said.splitlines()) == 8
    assert f"{folder / 'deep.png'}: its 16 bits a channel are rounded to 8" in err
    assert f"{folder / 'turned.jpg'}: it is turned upright, as its EXIF says" in err
    assert "passed over, as they are not read: phone.heic (a HEIC)" in err
    assert Image.open(out / "wide.png").info["icc_profile"] == wide_profile()
    assert "icc_profile" not in Image.open(out / "gif.png").info


def test_what_is_no_file_is_not_said_to_be_absent_and_a_link_is_not_replaced(tmp_path: Path, capsys) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    code, _, err = isrbench(capsys, "restore", tmp_path / "pipe.png", tmp_path / "b.png", "--method", "bicubic")
    assert code == 2 and "it is a pipe, not a file" in err
    Image.fromarray(make_image(0, 8, 8)).save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a place that is mounted at times")
    code, _, err = isrbench(capsys, "restore", tmp_path / "a.png", tmp_path / "link.png", "--method", "bicubic")
    assert code == 2 and "exists already" in err and (tmp_path / "link.png").is_symlink()


def test_a_result_made_elsewhere_belongs_to_one_photo(tmp_path: Path, capsys) -> None:
    """`1*` once took 10_x4.png for photo 1 as well as for photo 10."""
    photos, results = tmp_path / "in", tmp_path / "results"
    photos.mkdir()
    results.mkdir()
    for name in ("1", "10", "baby", "babyface"):
        Image.fromarray(make_image(1, 8, 8)).save(photos / f"{name}.png")
    for name in ("10", "babyface"):
        Image.fromarray(make_image(1, 32, 32)).save(results / f"{name}_x4.png")
    code, _, err = isrbench(
        capsys, "restore", photos, tmp_path / "out", "--method", "folder", "-o", f"images={results}", "-o", "suffix=*"
    )
    assert code == 1 and "holds no 1*.png" in err and "babyface_x4.png is that of babyface" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["10.png", "babyface.png"]


def test_a_name_cannot_steer_the_terminal(tmp_path: Path, capsys) -> None:
    name = "\x1b]0;title\x07\x1b[31m\u9b31.png"
    (tmp_path / name).write_bytes(b"no image")
    code, _, err = isrbench(capsys, "restore", tmp_path / name, tmp_path / "b.png", "--method", "bicubic")
    assert code == 2 and "?]0;title??[31m\u9b31.png is not an image" in err and "\x1b" not in err
