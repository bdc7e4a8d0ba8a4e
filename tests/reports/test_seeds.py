"""Runs under several seeds: a method counts once, and how far its seeds are apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import compare
from isrbench.reports.seeds import spread, without_repeats
from tests.support.report_frames import frames, of_methods, of_metrics, together, with_manifests, without_routing


def _with_repeats(made: Frames, shifts: dict[str, float]) -> Frames:
    """MoR's run, and repeats of it whose values lie higher by so much."""
    parts = [made]
    for run, shift in shifts.items():
        own = of_methods(made, "mor")
        base = own.runs["run"].iloc[0]
        own = with_manifests(own, lambda m, run=run, base=base: m.model_copy(update={"run": run, "repeat_of": base}))
        parts.append(replace(own, scores=own.scores.assign(value=own.scores["value"] + shift)))
    return together(*parts)


def test_a_repeat_is_in_no_table_and_its_spread_is_reported(tmp_path) -> None:
    made = of_metrics(without_routing(frames(tmp_path / "images", count=12, failed=False)), "psnr", "lpips")
    found = compare(_with_repeats(made, {"r1": 1.0, "r2": -1.0}))
    assert found.sets[0].aligned.labels == compare(made).sets[0].aligned.labels
    assert found.table.equals(compare(made).table)
    rows = found.analyses["seeds"].set_index("metric")
    values = compare(made).sets[0].aligned.values
    base = values["psnr"]["MoR-SR (tiny)"]
    assert rows.loc["psnr", "seeds"] == 3 and rows.loc["psnr", "n"] == 12
    assert rows.loc["psnr", "mean"] == pytest.approx(base.mean()) and rows.loc["psnr", "within_sd"] == pytest.approx(1)
    assert rows.loc["psnr", "mean_sd"] == pytest.approx(1)
    assert rows.loc["psnr", "worst"] == pytest.approx(base.mean() - 1)
    assert rows.loc["lpips", "worst"] == pytest.approx(values["lpips"]["MoR-SR (tiny)"].mean() + 1), "lower is better"
    assert "how far are the seeds apart?" in found.to_markdown() and "worst seed of each image" in found.to_markdown()
    assert "seeds" not in compare(made).analyses


def test_spreads_by_hand() -> None:
    values = np.array([[1.0, 3.0], [5.0, 5.0]])
    mean, within, of_mean, worst = spread(values, higher=True)
    assert (mean, worst) == (3.5, 3.0) and within == pytest.approx(np.sqrt((2 + 0) / 2))
    assert of_mean == pytest.approx(np.std([3.0, 4.0], ddof=1)) and spread(values, higher=False)[3] == 4.0


def test_a_repeat_without_its_run_is_a_run_of_its_own(tmp_path) -> None:
    made = of_metrics(frames(tmp_path, count=3, failed=False), "psnr")
    alone = of_methods(_with_repeats(made, {"r1": 1.0}), "mor")
    only = Frames(*(part[part["run"] == "r1"].reset_index(drop=True) for part in vars(alone).values()))
    kept, repeats = without_repeats(only)
    assert list(kept.runs["run"]) == ["r1"] and repeats == {}


def test_an_image_without_a_value_blanks_the_spread(tmp_path) -> None:
    made = of_metrics(without_routing(frames(tmp_path / "images", count=4, failed=False)), "psnr", "lpips")
    lacking = _with_repeats(made, {"r1": 1.0})
    gone = (lacking.scores["run"] == "r1") & (lacking.scores["metric"] == "psnr") & (lacking.scores["image"] ==
                                                                                     "scene_001")  # fmt: skip
    found = compare(replace(lacking, scores=lacking.scores[~gone].reset_index(drop=True)))
    assert list(found.analyses["seeds"]["metric"]) == ["lpips"]
