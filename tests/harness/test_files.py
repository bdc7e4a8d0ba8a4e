"""Files are whole or not there; folders are listed the same way everywhere."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, is_there, list_images, refuse_to_replace, replacing
from tests.support.odd_images import NO_IMAGES


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")
    with replacing(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after" and [p.name for p in tmp_path.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_replacement_leaves_what_was_there_and_no_partial_file(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("before")
    with pytest.raises(type(error)), replacing(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_files_in_the_way_are_named_in_one_message(tmp_path: Path) -> None:
    refuse_to_replace([tmp_path / "new", tmp_path / "far/new"], "--force")
    for name in "abcdefg":
        (tmp_path / name).write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for file, named in (("a", "a"), ("b/c", "b"), ("dangling", "dangling")):
        with pytest.raises(UserError, match="is there already and would be overwritten") as caught:
            refuse_to_replace([tmp_path / file], "--force")
        assert caught.value.message.startswith(f"{tmp_path / named} is") and caught.value.fix == "--force"
    with pytest.raises(UserError, match=r"d and 3 more are there already"):
        refuse_to_replace([tmp_path / name for name in "abcdefgh"], "--force")


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


def test_a_name_as_long_as_a_folder_allows_can_be_replaced(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".png", "\N{GRINNING FACE}" * 62 + ".png"):
        with replacing(tmp_path / name) as partial:
            partial.write_text("new")
        assert (tmp_path / name).read_text() == "new"


def test_two_files_are_replaced_at_a_time(tmp_path: Path) -> None:
    same = "x" * 100
    with replacing(tmp_path / f"{same}a") as first, replacing(tmp_path / f"{same}b") as second:
        assert first != second
        first.write_text("a")
        second.write_text("b")
    assert (tmp_path / f"{same}a").read_text() == "a"


def test_a_text_too_long_for_a_path_is_not_there(tmp_path: Path) -> None:
    assert is_there(tmp_path) and not is_there(tmp_path / "x") and not is_there(Path("x" * 300))


@given(st.binary(max_size=200))
def test_a_files_hash_is_that_of_its_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(content)
        assert file_hash(path) == hashlib.sha256(content).hexdigest()
