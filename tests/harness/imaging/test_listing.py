"""Folders are listed the same way everywhere: by endings and by content, and nothing is passed over in silence."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from isrbench.harness.imaging.listing import list_images
from tests.support.odd_images import NO_IMAGES


def test_images_are_listed_by_ending_without_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub.png").mkdir()
    for name in ("b.PNG", "a.jpeg", ".c.png", "notes.txt", "sub/d.tif"):
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in list_images(tmp_path)] == ["a.jpeg", "b.PNG"]
    assert [p.name for p in list_images(tmp_path, recursive=True)] == ["a.jpeg", "b.PNG", "d.tif"]


def test_a_file_of_another_ending_is_an_image_by_its_content(tmp_path: Path) -> None:
    for number, ending in enumerate(("", ".dat", ".JFIF", ".gif", ".avif", ".jp2", ".001")):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{number}{ending}", format="PNG")
    (tmp_path / "notes").write_text("P3 is a format, BM a district")
    (tmp_path / "BMW.txt").write_text("BMW")
    os.mkfifo(tmp_path / "pipe")  # reading it would never end
    (tmp_path / "loop").symlink_to("loop")
    assert [p.name[0] for p in list_images(tmp_path)] == list("0123456")


def test_a_copy_of_an_image_is_no_further_image(tmp_path: Path, caplog) -> None:
    for name in ("a.png", "a.png.bak", "a.png~", "a.jpg", "a.jpg_original", "b.png.bak"):
        Image.new("RGB", (4, 4)).save(tmp_path / name, format="PNG")
    assert [p.name for p in list_images(tmp_path)] == ["a.jpg", "a.png", "b.png.bak"]
    assert not caplog.records
    list_images(tmp_path, tell=True)
    (record,) = caplog.records
    assert "passed over" in record.message and "a.jpg_original (a copy), a.png.bak (a copy)" in record.message


def test_images_one_folder_down_are_left_out_with_a_line(tmp_path: Path, caplog) -> None:
    for name in ("a.png", "in/b.png", "notes/c.txt", ".hidden/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in list_images(tmp_path, tell=True)] == ["a.png"]
    assert [record.message for record in caplog.records] == [f"{tmp_path}: the images in its folders are left out: in"]
    list_images(tmp_path, recursive=True, tell=True)
    assert len(caplog.records) == 1


def test_pictures_that_cannot_be_read_are_not_passed_over_in_silence(tmp_path: Path, caplog) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    for kind in ("HEIC", "PSD", "EPS", "zip"):
        (tmp_path / f"b.{kind}").write_bytes(NO_IMAGES[kind][0])
    # A camera's raw file is a TIFF whose first image is a small preview.
    Image.new("RGB", (4, 4)).save(tmp_path / "a.nef", format="TIFF", tiffinfo={254: 1})
    Image.new("RGB", (4, 4)).save(tmp_path / "a.dng", format="TIFF", tiffinfo={50706: b"\1\4\0\0"})
    assert [p.name for p in list_images(tmp_path, tell=True)] == ["a.jpg"]
    (record,) = caplog.records
    assert "a.dng (a camera's raw file), a.nef (a camera's raw file)" in record.message and "1 more" in record.message
    assert "b.EPS (PostScript" in record.message and "zip" not in record.message
