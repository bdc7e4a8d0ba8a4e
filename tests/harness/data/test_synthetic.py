"""A set made of photos is a data set like any other, and a function of its photos, levels and seed alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from isrbench.harness.data import synthetic
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.data.synthetic import main, make_set
from isrbench.harness.degradation.pipeline import degrade
from isrbench.harness.degradation.presets import at_level
from isrbench.harness.errors import UserError
from isrbench.harness.identity import image_seed
from isrbench.harness.imaging.images import read_rgb, to_pixels, to_tensor
from tests.support.images import write_png16
from tests.support.odd_images import write_wide


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / name for name in ("b.png", "a.png", 'Rome, "night".jpg')]
    for path, (height, width) in zip(paths, ((40, 51), (32, 32), (33, 70)), strict=True):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return paths


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_set_loads_with_its_levels_and_holds_the_centres(photos: list[Path], tmp_path: Path) -> None:
    assert main([str(tmp_path / "photos"), "--out", str(tmp_path / "mine"), "--crop", "32"]) == 0
    card = find_card(str(tmp_path / "mine" / "card.toml"))
    pairs = load_pairs(card)
    assert (card.id, card.scale, card.count) == ("mine", 4, 9)
    assert [pair.id for pair in pairs] == [
        f"{stem}_{level}" for stem in ('Rome, "night"', "a", "b") for level in ("0.2", "0.5", "0.8")
    ]
    assert [float(pair.level) for pair in pairs] == [0.2, 0.5, 0.8] * 3
    centre = read_rgb(photos[0])[4:36, 9:41]
    by_id = {pair.id: pair for pair in pairs}
    assert np.array_equal(read_rgb(by_id["b_0.8"].hr), centre)
    lr = degrade(to_tensor(centre)[None], at_level(0.8), [image_seed(0, "b_0.8")])[0]
    assert np.array_equal(read_rgb(by_id["b_0.8"].lr), to_pixels(lr))


def test_other_photos_and_levels_change_nothing_and_the_seed_all(photos: list[Path], tmp_path: Path) -> None:
    make_set(photos, tmp_path / "x" / "set", 32, [0.2, 0.8])
    make_set(photos[:1], tmp_path / "y" / "set", 32, [0.8])
    make_set(photos[:1], tmp_path / "z" / "set", 32, [0.8], seed=1)
    whole, part, other = (files(tmp_path / name / "set") for name in "xyz")
    assert part["LR/b_0.8.png"] == whole["LR/b_0.8.png"] != other["LR/b_0.8.png"]
    assert part["HR/b_0.8.png"] == other["HR/b_0.8.png"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"out": "photos"}, "exists already"),
        ({"out": "my set"}, "cannot be the id"),
        ({"out": "nächte"}, "cannot be the id"),
        ({"out": "RealSR"}, "a set that ships"),
        ({"out": "photos/a.png/set"}, "cannot be written"),
        ({"side": 30}, "--crop is 30"),
        ({"side": 36}, "a.png is 32 x 32 px, smaller than --crop 36"),
        ({"levels": []}, "--levels is []"),
        ({"levels": [0.5, 1.5]}, "--levels is"),
        ({"levels": [0.5, 0.5]}, "twice"),
        ({"levels": [float("nan")]}, "--levels is"),
        ({"levels": [0.30000001]}, "six digits"),
        ({"levels": [0.0, -0.0]}, "twice"),
        ({"seed": -1}, "--seed is -1"),
        ({"photos": []}, "no photos"),
        ({"photos": ["photos/a.png", "A.jpg"]}, "would get the same name"),
        ({"photos": ["photos/.a.png"]}, "hidden"),
        ({"photos": ["missing.png"]}, "missing.png"),
    ],
)
def test_bad_input_writes_nothing(change: dict, said: str, photos: list[Path], tmp_path: Path) -> None:
    given = {"photos": photos, "out": "set", "side": 32, "levels": [0.5], "seed": 0} | change
    given |= {"photos": [tmp_path / path for path in given["photos"]], "out": tmp_path / given["out"]}
    before = files(tmp_path)
    with pytest.raises(UserError) as caught:
        make_set(**given)
    assert said in str(caught.value)
    assert files(tmp_path) == before


def test_an_interrupted_run_leaves_nothing(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    before = files(tmp_path)
    monkeypatch.setattr(synthetic, "write_png", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_set(photos, tmp_path / "set", 32, [0.5])
    assert files(tmp_path) == before and [p.name for p in tmp_path.iterdir()] == ["photos"]


def test_the_command_says_what_is_wrong(photos: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "empty").mkdir()
    argv = [str(tmp_path / "photos"), str(tmp_path / "empty"), "--out", str(tmp_path / "set")]
    assert main(argv) == 2
    assert "empty holds no images" in caplog.text and "fix:" in caplog.text


def test_photos_whose_pixels_would_change_are_refused_or_noted(tmp_path: Path, caplog) -> None:
    write_png16(tmp_path / "deep.png", side=32)
    with pytest.raises(UserError, match=r"deep\.png has 16 bits a channel") as caught:
        make_set([tmp_path / "deep.png"], tmp_path / "out", 16, [0.5])
    assert "isrbench tools convert" in (caught.value.fix or "") and not (tmp_path / "out").exists()
    for name in ("a.png", "b.png"):
        write_wide(tmp_path / name)
    make_set([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out", 16, [0.5])
    (record,) = caplog.records
    assert "b.png: its colour profile (Wide RGB) is left out" in record.message
