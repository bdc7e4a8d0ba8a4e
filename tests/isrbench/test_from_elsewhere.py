"""Every verb in a folder whose own ``methods``, ``harness``, ``reports`` and ``datasets`` come first on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from isrbench.harness.engine import doctor
from tests.support.cli import finished_in_turn
from tests.support.images import write_pairs

pytestmark = pytest.mark.process


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
    ["eval", "--method", "mor", "--dataset", "pairs", "--limit", "1", *PLAIN],
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


def test_every_verb(elsewhere: Path) -> None:
    *answers, (code, said) = finished_in_turn([*VERBS, WITHOUT_PHOTOS], cwd=elsewhere, env={"PYTHONPATH": "."})
    assert code == 2 and "no images below empty" in said and "somebody else" not in said, said
    for verb, (code, said) in zip(VERBS, answers, strict=True):
        assert code == 0 and "somebody else" not in said, (verb, said)


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


def test_training_under_accelerate(elsewhere: Path) -> None:
    launch = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1")
    launch += ("--mixed_precision", "no", "--dynamo_backend", "no")
    code, said = run(elsewhere, *launch, "-m", "isrbench", "train", "--method", "mor", "--help")
    assert code == 0 and "--preset" in said and "somebody else" not in said, said
