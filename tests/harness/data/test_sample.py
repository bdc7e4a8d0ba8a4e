"""The sample set: complete, small, and exactly what the script makes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import isrbench
from isrbench.harness.data import sample as make_sample
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.find import catalogue_folder
from isrbench.harness.data.pairs import content_hash, load_pairs
from isrbench.harness.degradation.presets import LEVELS

FOLDER = make_sample.FOLDER


def test_complete_and_small():
    names = {f"{scene.name}_{level}" for scene in make_sample.SCENES for level in LEVELS}
    assert len(names) == 24 and len({scene.name for scene in make_sample.SCENES}) == 8
    for kind, side in (("LR", 64), ("HR", 256)):
        assert {p.stem for p in (FOLDER / kind).iterdir()} == names
        for path in (FOLDER / kind).iterdir():
            with Image.open(path) as image:
                assert (image.format, image.mode, image.size) == ("PNG", "RGB", (side, side))
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) < 6e6
    with (FOLDER / "levels.csv").open() as file:
        assert {row["image"]: float(row["level"]) for row in csv.DictReader(file)} == {
            name: LEVELS[name.split("_")[1]] for name in names
        }


def test_the_cards_content_hash_is_that_of_the_files():
    card = find_card("sample")
    assert card.content_hash is not None and content_hash(load_pairs(card)) == card.content_hash
    assert card.citation


def test_the_set_is_written_where_it_is_read_from():
    assert find_card("sample").root == FOLDER == catalogue_folder() / "sample"
    assert FOLDER.is_relative_to(Path(isrbench.__file__).parents[1].resolve())


def test_every_photo_has_its_license():
    text = (FOLDER / "LICENSES.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for scene in make_sample.SCENES:
        row = next(line for line in rows if f"`{scene.name}`" in line)
        assert f"`{scene.file}`" in row and ("CC0" in row or "public domain" in row)


def test_levels_are_ordered_in_psnr():
    means = []
    for level in LEVELS:
        values = []
        for scene in make_sample.SCENES:
            lr, hr = (Image.open(FOLDER / kind / f"{scene.name}_{level}.png") for kind in ("LR", "HR"))
            error = np.asarray(lr, float) - np.asarray(hr.resize((64, 64), Image.Resampling.BICUBIC), float)
            values.append(-10 * np.log10((error**2).mean() / 255**2))
        means.append(np.mean(values))
    assert means[0] > means[1] + 1 > means[2] + 2, means


@pytest.fixture(scope="module")
def drawn() -> Iterator[None]:
    """The set's pairs are drawn once, however often a test has them written."""
    pytest.importorskip("skimage", reason="scikit-image carries the photos")
    pairs = list(make_sample.make_pairs())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_sample, "make_pairs", lambda: iter(pairs))
        yield


@pytest.fixture(scope="module")
def made(drawn: None, tmp_path_factory) -> Path:
    """The set, made again."""
    folder = tmp_path_factory.mktemp("made")
    make_sample.write_sample(folder)
    return folder


def test_regenerates(made: Path):
    same_versions = (FOLDER / "made-with.txt").read_text() == make_sample.made_with()
    ours = sorted(p.relative_to(made) for p in made.rglob("*.*"))
    assert len(ours) == 50
    for path in ours:
        if path.name == "made-with.txt":
            continue
        if path.suffix == ".png":
            new, old = (np.asarray(Image.open(root / path)) for root in (made, FOLDER))
            # Other versions may round a pixel or decode a JPEG otherwise; the scenes themselves may not change.
            if same_versions or path.parts[0] == "HR":
                assert np.array_equal(new, old), path
            assert np.abs(new.astype(int) - old).mean() < 0.5, path
        if same_versions or path.suffix != ".png":
            assert (made / path).read_bytes() == (FOLDER / path).read_bytes(), path


def test_check_finds_changes(made: Path, tmp_path: Path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    assert make_sample.main(["--check", "--out", str(tmp_path)]) == 0
    victim = tmp_path / "LR" / "cat_mild.png"
    pixels = np.array(Image.open(victim))
    pixels[3, 4, 0] ^= 1
    Image.fromarray(pixels).save(victim)
    (tmp_path / "HR" / "cup_mild.png").unlink()
    assert make_sample.differences(tmp_path) == ["LR/cat_mild.png: other pixels", "HR/cup_mild.png: missing"]
    assert make_sample.main(["--check", "--out", str(tmp_path)]) == 1
