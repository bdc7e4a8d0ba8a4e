"""The smoke run of docs/training.md: its first steps lose what the page says."""

import re

import pytest

from isrbench.methods.mor.plugin import PLUGIN
from isrbench.methods.onestep.train.curves import read_curves
from tests.support.paths import ROOT, SHARED

TOLERANCE = 0.02
"""As the page states it."""


def documented() -> dict[str, list[float]]:
    """The page's table: loss -> its values at steps 10 and 20."""
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    (head,) = re.findall(r"^\| steps \| (.*) \|$", text, re.MULTILINE)
    rows = [
        re.findall(rf"^\| {steps} \| (.*) \|$", text, re.MULTILINE)[0].split(" | ") for steps in ("1 to 10", "11 to 20")
    ]
    return {name: [float(first), float(second)] for name, first, second in zip(head.split(" | "), *rows, strict=True)}


@pytest.mark.slow
@pytest.mark.data
def test_twenty_steps_of_the_tiny_preset_lose_what_the_page_says(tmp_path):
    photos = SHARED / "data/BSDS500/train"
    if not photos.is_dir():
        pytest.skip("needs ../shared/data/BSDS500/train (photos, not redistributed here)")
    argv = ["--preset", "tiny", "--data", str(photos), "--steps", "20", "--out", str(tmp_path), "device=cpu"]
    assert PLUGIN.run_training(argv) == 0
    measured = {name: [value for _, value in points] for name, points in read_curves(tmp_path / "curves.csv").items()}
    expected = documented()
    assert measured.keys() == expected.keys()
    for name, values in expected.items():
        assert measured[name] == pytest.approx(values, rel=TOLERANCE), name
