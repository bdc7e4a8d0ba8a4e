"""What `--data` takes: folders, lists and limits; and what a resumed run compares of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train import launch
from isrbench.methods.onestep.train.config import Data
from isrbench.methods.onestep.train.data import check_photos, open_loader
from isrbench.methods.onestep.train.photos import find_photos, photos_of, read_source
from isrbench.methods.onestep.train.provenance import without_places
from tests.support.paths import ROOT


@pytest.fixture
def photos(tmp_path):
    """Four photos of sizes of their own, one in a folder below."""
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("c.png", "a.png", "b/1.png", "d.png"):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    return folder


def names(*words):
    return [photo.name for photo in find_photos(map(str, words))]


def listed(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_limit_takes_the_first_of_the_sorted_names(photos, tmp_path):
    assert names(photos) == ["a", "b/1", "c", "d"]
    assert names(f"{photos}:2", f"{photos}/:1") == ["a", "b/1", "a"]
    first = shutil.copytree(photos, tmp_path / "first")
    for name in ("c.png", "d.png"):
        (first / name).unlink()
    two, part = (check_photos(Data(folders=(word,))) for word in (f"{photos}:2", str(first)))
    assert two == part != check_photos(Data(folders=(f"{photos}:3",))), "whoever holds only these has the same photos"
    one = [
        next(iter(open_loader(Data(folders=(word,), crop=16, workers=0), 0, 4, range(4)))).hr
        for word in (f"{photos}:2", str(first), str(photos))
    ]
    assert torch.equal(one[0], one[1]) and not torch.equal(one[0], one[2])


def test_a_folder_that_is_called_so_comes_before_a_limit(photos, tmp_path):
    called = shutil.copytree(photos / "b", tmp_path / "photos:2")
    assert read_source(str(called)).limit is None and names(called) == ["1"]
    assert names(f"{called}:1") == ["1"]


def test_a_list_is_taken_in_its_order_from_its_own_folder(photos, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    text = f"# the best\n\nphotos/d.png\n  photos/b/1.png\n{photos}/c.png\nphotos/d.png\n"
    file = listed(tmp_path / "list.txt", text)
    assert names(file) == ["photos/d", "photos/b/1", f"{photos}/c", "photos/d"]
    assert [photo.path for photo in photos_of(read_source(f"{file}:2"))] == [photos / "d.png", photos / "b/1.png"]
    file.write_text("photos/a.png\n" + text)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copytree(photos, moved / "photos")
    listed(moved / "other.txt", "photos/a.png\nphotos/d.png")
    here, there = (check_photos(Data(folders=(str(word),))) for word in (f"{file}:2", moved / "other.txt"))
    assert here == there, "the list and its photos may move together"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("photos:5", "photos:5 asks for more photos than the 4 that are there"),
        ("photos:0", "photos:0 takes no photo"),
        ("nowhere:3", "nowhere is neither a folder nor a file"),
        ("photos:many", "photos:many is neither a folder nor a file"),
        ("photos/a.png", "a.png is an image, not a folder or a list"),
        ("empty.txt", "empty.txt lists no photo"),
        ("absent.txt", r"absent.txt: 2 of 3 photos are not there, the first is photos/x.png"),
        ("absent.txt:4", "absent.txt:4 asks for more photos than the 3"),
        ("binary.txt", "list of photos binary.txt cannot be read"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_one_message(photos, monkeypatch, word, message):
    monkeypatch.chdir(photos.parent)
    Path("empty.txt").write_text("# nothing yet\n\n")
    Path("absent.txt").write_text("photos/a.png\nphotos/x.png\nphotos/y.png\n")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=message):
        find_photos([word])


@pytest.mark.process
def test_what_is_absent_or_empty_is_told_before_torch_is_imported(photos):
    (photos.parent / "empty.txt").write_text("\n")
    script = (
        "import sys\nfrom isrbench.harness.errors import UserError\nfrom isrbench.methods.onestep.train import launch\n"
        "for word in sys.argv[1:]:\n"
        "    try:\n        launch.train('mor', ['--data', word, 'device=cpu'], None)\n"
        "    except UserError as error:\n        print(error.message)\n"
        "try:\n    launch.train('mor', ['--data', 'photos:2', 'data.prompts=no.tsv', 'device=cpu'], None)\n"
        "except UserError as error:\n    print(error.message)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "nowhere:3", "photos:0", "empty.txt"], cwd=photos.parent, capture_output=True,
        text=True, timeout=60, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "nowhere is neither a folder nor a file that lists photos", "--data photos:0 takes no photo",
        "empty.txt lists no photo", "data.prompts: no.tsv does not exist",
    ]  # fmt: skip


def test_new_forms_of_data_reach_the_training(photos, monkeypatch):
    seen = []
    monkeypatch.setattr("isrbench.methods.onestep.train.run.train", lambda argv, spec: seen.append(argv) or 0)
    argv = ["--data", f"{photos}:2", str(listed(photos.parent / "list.txt", "photos/a.png")), "device=cpu"]
    assert launch.train("mor", argv, lambda: None) == 0 and seen == [argv]


def test_what_is_recorded_keeps_the_limit_and_no_place():
    data = Data(
        folders=("/home/me/LSDIR", "/data/FFHQ:10000", "/data/FFHQ/:7", "lists/mine.txt"), prompts="/x/tags.tsv"
    )
    recorded = {"folders": ["LSDIR", "FFHQ:10000", "FFHQ:7", "mine.txt"], "prompts": "tags.tsv"}
    assert without_places(data) == recorded
    assert without_places(Data(folders=("d",)))["prompts"] == ""
