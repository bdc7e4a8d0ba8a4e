"""What is built: one package of real folders, each file once. And every verb of it, in a folder whose own ``methods``,
``harness``, ``reports`` and ``datasets`` come first on the path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import isrbench
from isrbench.harness.engine import doctor
from tests.support.cli import finished_in_turn
from tests.support.images import write_pairs
from tests.support.once import made_once
from tests.support.paths import ROOT

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    pytest.importorskip("build.__main__", reason="needs build and hatchling")

    def build(folder: Path) -> None:
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    return made_once(tmp_path_factory, "dist", build)


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory) -> Path:
    """The wheel's content, as it would lie in site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_the_wheel_is_one_package(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")} == {"isrbench"}
    inside = {path.name for path in (unpacked / "isrbench").iterdir()}
    assert inside == {"__init__.py", "__main__.py", "py.typed", "studies", "harness", "methods", "reports", "datasets"}
    for tree in ("harness", "methods", "reports", "datasets"):
        shipped = {
            p.relative_to(unpacked / "isrbench") for p in (unpacked / "isrbench" / tree).rglob("*") if p.is_file()
        }
        checkout = {p.relative_to(ROOT) for p in (ROOT / tree).rglob("*") if p.is_file() and p.suffix != ".pyc"}
        assert shipped == checkout, shipped ^ checkout


def test_the_sdist_holds_each_file_once(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        files = [member for member in archive.getmembers() if member.isfile()]
    names = [member.name.partition("/")[2] for member in files]
    assert len(names) == len(set(names))
    studies = {path.relative_to(ROOT).as_posix() for path in (ROOT / "isrbench" / "studies").glob("*.py")}
    assert {name for name in names if name.startswith("isrbench/")} == {
        "isrbench/__init__.py", "isrbench/__main__.py", "isrbench/py.typed", *studies,
    }  # fmt: skip
    assert {"harness/cli/main.py", "tests/conftest.py", "noxfile.py", "constraints.txt"} <= set(names)
    assert sum(member.size for member in files) < 50 * 2**20


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> Path:
    """Somebody's repository."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("methods", "harness", "reports", "datasets"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise ImportError('the {name} of somebody else was imported')\n")
    write_pairs(folder / "pairs", ["a", "b"])
    (folder / "empty").mkdir()
    return folder


def run(folder: Path, *command: str) -> tuple[int, str]:
    """Run a program with the folder itself first on Python's path; (exit code, all output)."""
    environment = {**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout


PLAIN = ("--metrics", "psnr", "--no-complexity", "--no-report")
VERBS: Sequence[Sequence[str]] = (
    ["eval", "--method", "bicubic", "--dataset", "pairs", *PLAIN],
    ["eval", "--method", "mor", "--dataset", "sample", "--limit", "1", *PLAIN],
    ["restore", "pairs/LR/a.png", "a.png", "--method", "lanczos"],
    ["report", "--out", "page"],
    ["export", "latest", "--to", "scores.csv"],
    ["export", "--hub-card", "--to", "card"],
    ["list", "methods"],
    ["list", "datasets"],
    ["list", "metrics"],
    ["list", "runs"],
    ["describe", "method", "mor"],
    ["train", "--method", "mor", "--help"],
    ["fetch", "weights", "--metric", "psnr"],
    ["tools", "convert", "pairs/LR/a.png"],
    ["tools", "make-set", "--help"],
)
WITHOUT_PHOTOS = ["train", "--method", "mor", "--data", "empty"]
"""Imports all that training needs, and finds nothing to train on."""


def test_every_verb_of_the_wheel_alone(unpacked: Path, elsewhere: Path, hostile: Path) -> None:
    """In somebody's repository, and beside other packages' broken plugins: nobody harms anything but himself."""
    path = (Path(), hostile, unpacked)
    *answers, (code, said) = finished_in_turn([*VERBS, WITHOUT_PHOTOS], path=path, cwd=elsewhere)
    assert code == 2 and "no images below empty" in said and "somebody else" not in said, said
    for verb, (code, said) in zip(VERBS, answers, strict=True):
        assert code == 0 and "somebody else" not in said and "Traceback" not in said, (verb, said)
    assert "PSNR" in answers[0][1] and "Rival" not in answers[0][1]
    assert "2 of 2 images restored" in answers[0][1] and (elsewhere / "page" / "index.html").is_file()
    images = next(run.images() for run in isrbench.load_runs(elsewhere / "runs") if run.manifest.name == "mor")
    assert all(Path(file).is_relative_to(unpacked) for file in images["lr_path"]), "the wheel's own sample set"


def test_a_shadowed_library_is_no_other_one(elsewhere: Path, monkeypatch) -> None:
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("PYTHONPATH", ".")
    numpy, datasets, *_ = doctor.examine(None, elsewhere / "runs", {"numpy": "numpy", "datasets": "datasets"})
    assert numpy.ok and not datasets.ok and "somebody else" in datasets.found and datasets.needed


@pytest.mark.slow
def test_doctor_says_which_library_is_shadowed(elsewhere: Path) -> None:
    """With that path ``import datasets`` means the folder, for every program: nothing but the truth can be said."""
    code, said = run(elsewhere, "-m", "isrbench", "doctor", "--json")
    assert code == 1 and said.count("somebody else") == 1 and "Traceback" not in said
    findings = {f["what"]: f for f in json.loads(said)}
    assert [what for what, f in findings.items() if f["needed"] and not f["ok"]] == ["datasets"]
    assert "somebody else" in findings["datasets"]["found"] and findings["datasets"]["fix"].startswith("pip install")
    assert {*doctor.PACKAGES, "device"} <= set(findings), "every other library imports, and is looked at"


@pytest.mark.slow
def test_training_under_accelerate(elsewhere: Path) -> None:
    launch = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1")
    launch += ("--mixed_precision", "no", "--dynamo_backend", "no")
    code, said = run(elsewhere, *launch, "-m", "isrbench", "train", "--method", "mor", "--help")
    assert code == 0 and "--preset" in said and "somebody else" not in said, said
