"""Plots of training curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.errors import UserError
from isrbench.reports.figures.training import training_curves


def _curves(file: Path, names: list[str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("step,name,value\n" + "".join(f"{s},{n},{s}\n" for n in names for s in range(4)))
    return file


def test_each_quantity_is_a_plot_of_all_runs(tmp_path):
    files = [_curves(tmp_path / run / "curves.csv", ["loss"]) for run in ("mor", "osediff")]
    (plot,) = training_curves(files, tmp_path / "out")
    assert [p.name for p in plot.files] == ["loss.png", "loss.svg", "loss.dark.svg", "loss.pdf"]
    assert "loss" in plot.text


def test_training_curves_never_overwrite_one_another(tmp_path):
    files = [_curves(tmp_path / run / "same/curves.csv", ["loss a", "loss/a"]) for run in ("one", "two")]
    found = training_curves(files, tmp_path / "out")
    assert [plot.files[0].name for plot in found] == ["loss-a.png", "loss-a-2.png"]
    other = training_curves([files[0], _curves(tmp_path / "x/curves.csv", ["loss a"])], tmp_path / "out2")
    assert len(other) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "does not exist"),
        ("", "are not a CSV"),
        ("a,b\n1,2\n", "have no columns step, name, value"),
        ('x"\n"', ""),
    ],
)
def test_a_broken_training_file_is_one_clear_message(tmp_path, text, problem):
    file = tmp_path / "curves.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=f"the training curves {file} {problem}") as caught:
        training_curves([file], tmp_path / "out")
    assert "curves.csv of a training run" in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("names", "words"),
    [([f"n{i}" for i in range(201)], "201 quantities, of which 200"), (["x" * 101], "100 characters")],
)
def test_what_no_page_can_show_is_not_drawn_for_hours(tmp_path, names, words):
    with pytest.raises(UserError, match=words):
        training_curves([_curves(tmp_path / "curves.csv", names)], tmp_path / "out")
