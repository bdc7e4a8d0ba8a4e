"""The fix that messages about unusual images name: it is run as printed, and works."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.imaging import convert as conversion
from isrbench.harness.imaging.convert import convert, main, rgb8
from isrbench.harness.imaging.images import read_rgb
from tests.support.cli import isrbench
from tests.support.images import CONVERTIBLE, make_image, write_pairs, write_png16, write_truncated_png
from tests.support.paths import ROOT


@pytest.mark.parametrize("name", CONVERTIBLE)
def test_pasting_the_fix_into_a_shell_fixes_the_set(name: str, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / 'it\'s a $HOME "set"', ["a", "b"])
    (folder / "LR" / "b.png").unlink()
    victim = folder / "LR" / ("b.jpg" if "JPEG" in name else "b.png")
    CONVERTIBLE[name][0](victim)
    original = victim.read_bytes()
    with pytest.raises(UserError) as caught:
        load_pairs(find_card(str(folder)))
    assert caught.value.fix is not None
    command = caught.value.fix.removeprefix("convert it in place: ")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert [p.id for p in load_pairs(find_card(str(folder)))] == ["a", "b"]
    assert (folder / "LR" / f".{victim.name}.original").read_bytes() == original


def test_deep_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "grey.png")
    assert np.array_equal(read_rgb(convert(tmp_path / "grey.png"))[..., 1].ravel(), np.arange(256))
    Image.fromarray(np.full((4, 4), 128 * 257 + 128, np.uint16)).save(tmp_path / "half.png")
    assert rgb8(tmp_path / "half.png").pixels.max() == 128


def test_deep_colour_keeps_its_upper_bytes(tmp_path: Path) -> None:
    write_png16(tmp_path / "deep.png")
    assert read_rgb(convert(tmp_path / "deep.png"))[0, 0].tolist() == [0, 2, 4]


def test_a_rotated_image_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = make_image(0, 10, 20)
    Image.fromarray(pixels).save(tmp_path / "r.png", exif=exif)
    assert np.array_equal(read_rgb(convert(tmp_path / "r.png")), np.rot90(pixels, -1))


def test_transparent_parts_are_laid_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(tmp_path / "t.png")
    assert (rgb8(tmp_path / "t.png").pixels == 255).all()


def test_a_good_image_is_left_alone_and_a_folder_is_done_as_a_whole(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "set", ["a", "b"]) / "LR"
    before = (folder / "a.png").read_bytes()
    Image.open(folder / "b.png").convert("L").save(folder / "b.png")
    assert main([str(folder)]) == 0
    assert (folder / "a.png").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == [".b.png.original", "a.png", "b.png"]


def test_a_folder_of_no_images_and_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, said in (("empty", "holds no images"), ("pipe.png", "is not a plain file")):
        code, _, err = isrbench(capsys, "tools", "convert", tmp_path / name)
        assert code == 2 and f"{tmp_path / name} {said}" in err and "error: error" not in err


def test_what_cannot_be_converted_is_left_as_it_is(tmp_path: Path) -> None:
    write_truncated_png(tmp_path / "cut.png")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    Image.fromarray(make_image(0, 8, 8)).convert("L").save(tmp_path / "twin.bmp")
    Image.fromarray(make_image(0, 8, 8)).save(tmp_path / "twin.png")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for name, words in (("cut.png", "is damaged"), ("float.tif", "white"), ("twin.bmp", "exists already")):
        with pytest.raises(UserError, match=words):
            convert(tmp_path / name)
    assert main([str(tmp_path)]) == 2
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_full_disk_leaves_the_original_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(make_image(0, 8, 8)).convert("L").save(tmp_path / "g.png")
    before = (tmp_path / "g.png").read_bytes()

    def full(path: Path, pixels: np.ndarray, **options: object) -> None:
        assert path.read_bytes() == before  # so would a process that is killed now leave it
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(conversion, "write_png", full)
    with pytest.raises(OSError, match="No space"):
        convert(tmp_path / "g.png")
    assert [p.name for p in tmp_path.iterdir()] == ["g.png"] and (tmp_path / "g.png").read_bytes() == before
