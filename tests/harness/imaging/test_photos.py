"""A user's own pictures become 8-bit RGB, or are refused; what that cost is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.photos import read_photo, read_photos
from tests.support.images import make_image, write_rotated_jpeg
from tests.support.odd_images import write_wide


def test_a_photo_is_turned_upright_and_made_rgb(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(make_image(0, 10, 20)).save(tmp_path / "r.jpg", exif=exif, quality=95)
    assert read_photo(tmp_path / "r.jpg").shape == (20, 10, 3)
    Image.fromarray(make_image(0, 8, 8)).convert("L").save(tmp_path / "g.png")
    assert read_photo(tmp_path / "g.png").shape == (8, 8, 3)
    Image.new("RGBA", (4, 4), (1, 2, 3, 100)).save(tmp_path / "t.png")
    with pytest.raises(UserError, match="transparent"):
        read_photo(tmp_path / "t.png")


def test_photos_read_one_after_the_other_are_told_of_at_the_end(tmp_path: Path, caplog) -> None:
    for name in ("a.png", "b.png"):
        write_wide(tmp_path / name)
    write_rotated_jpeg(tmp_path / "c.jpg")
    paths = sorted(tmp_path.iterdir())
    assert [photo.shape for photo in read_photos(paths)] == [(16, 16, 3)] * 3
    assert [record.message.partition(": ")[2][:20] for record in caplog.records] == [
        "its colour profile (", "it is turned upright",
    ]  # fmt: skip
