"""Slopes of the paired difference over severity, against scipy and against data whose slope is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from isrbench.reports import interaction
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.interaction import bootstrap_slopes, least_squares, permutation_p, slopes
from isrbench.reports.statistics import holm
from tests.support.report_frames import frames, of_methods


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> AlignedRuns:
    return align(frames(tmp_path_factory.mktemp("images"), failed=False))[0]


def _with_difference(aligned: AlignedRuns, metric: str, label: str, difference: np.ndarray) -> AlignedRuns:
    table = aligned.values[metric].copy()
    table[label] = table["Bicubic"] + difference
    return replace(aligned, values={**aligned.values, metric: table})


def test_slope_and_interval_agree_with_scipy(aligned):
    x = aligned.images["severity"].to_numpy(float)
    table = aligned.values["psnr"]
    y = (table["OSEDiff PNGs"] - table["Bicubic"]).to_numpy()
    found = slopes(aligned, "Bicubic")["OSEDiff PNGs", "psnr"]

    def line(a: np.ndarray, b: np.ndarray) -> float:
        fitted: Any = stats.linregress(a, b)
        return fitted.slope

    assert found.n == 30 and found.slope == pytest.approx(line(x, y))
    theirs = stats.bootstrap(
        (x, y), line, n_resamples=2000, paired=True, vectorized=False, method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.1 * width)


def test_p_agrees_with_scipys_permutation_test():
    rng = np.random.default_rng(3)
    x = rng.uniform(size=25)
    y = 0.8 * x + rng.normal(0, 0.5, 25)

    def studentised(a, b):
        a, b = a - a.mean(), b - b.mean()
        return abs((a * b).sum()) / np.sqrt((a**2 * b**2).sum())

    theirs = stats.permutation_test(
        (x, y), studentised, permutation_type="pairings", vectorized=False, n_resamples=4000, alternative="greater",
        rng=1,
    ).pvalue  # fmt: skip
    assert permutation_p(x, y[:, None])[0] == pytest.approx(theirs, abs=0.02) and 0.01 < theirs < 0.5


def test_p_is_small_for_a_slope_and_spread_out_without_one():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=60)
    # The scatter grows with x, which makes the test of a plain slope too sure.
    noise = rng.normal(size=(60, 300)) * (0.1 + 2 * x[:, None] ** 2)
    p = permutation_p(x, noise, draws=400)
    assert 0.02 < (p < 0.05).mean() < 0.09
    assert permutation_p(x, (3 * x + rng.normal(0, 0.3, 60))[:, None], draws=400)[0] == pytest.approx(1 / 401)
    assert permutation_p(x, np.zeros((60, 1)), draws=50)[0] == 1


def test_resamples_are_seeded_and_shared():
    rng = np.random.default_rng(1)
    x = rng.uniform(size=40)
    y = rng.normal(size=(40, 1))
    both = bootstrap_slopes(x, np.hstack([y, y + 5 * x[:, None]]), draws=700)
    assert both.shape == (700, 2) and np.allclose(both[:, 1] - both[:, 0], 5)
    assert np.array_equal(both, bootstrap_slopes(x, np.hstack([y, y + 5 * x[:, None]]), draws=700))
    assert not np.array_equal(both[:, :1], bootstrap_slopes(x, y, draws=700, seed=1))
    weights = np.bincount(np.arange(40), minlength=40)
    assert least_squares(x, y)[0] == pytest.approx(np.polyfit(x, y[:, 0], 1, w=weights)[0])


def test_signs_follow_the_direction_of_the_metric_after_holm(aligned):
    x, noise = aligned.images["severity"].to_numpy(float), np.random.default_rng(5).normal(0, 0.01, 30)
    made = _with_difference(aligned, "psnr", "OSEDiff PNGs", 2 * x + noise)
    made = _with_difference(made, "lpips", "OSEDiff PNGs", 2 * x + noise)
    made = _with_difference(made, "ssim", "OSEDiff PNGs", noise)
    found = slopes(made, "Bicubic")
    own = [found["OSEDiff PNGs", m.id] for m in made.metrics]
    assert [slope.p_holm for slope in own] == pytest.approx(holm([slope.p or 0 for slope in own]))
    assert found["OSEDiff PNGs", "psnr"].better is True and found["OSEDiff PNGs", "lpips"].better is False
    assert found["OSEDiff PNGs", "ssim"].better is None and ("Bicubic", "psnr") not in found
    assert found["OSEDiff PNGs", "psnr"].slope == pytest.approx(2, abs=0.05)


def test_an_image_without_value_or_an_infinite_one_blanks_the_slope(tmp_path, aligned):
    failed = align(frames(tmp_path))[0]
    found = slopes(failed, "Bicubic")["OSEDiff PNGs", "psnr"]
    assert found.slope is None and found.p is None and found.reason == "1 of 30 images have no value of OSEDiff PNGs"
    infinite = _with_difference(aligned, "psnr", "OSEDiff PNGs", np.r_[np.inf, np.zeros(29)])
    assert slopes(infinite, "Bicubic")["OSEDiff PNGs", "psnr"].reason == "holds an infinity"
    # Images without a severity are in no slope: their missing values do not matter.
    blind = replace(failed, images=failed.images.assign(severity=failed.images["severity"].mask(
        failed.status["OSEDiff PNGs"] == "failed")))  # fmt: skip
    assert slopes(blind, "Bicubic")["OSEDiff PNGs", "psnr"].n == 29


def test_the_table_shows_slopes_intervals_and_what_is_blank(tmp_path):
    own = align(frames(tmp_path))[0]
    analysis = interaction.analyse(own, "Bicubic")
    labels = [label for label, _ in analysis.table.rows]
    assert labels == ["MoR-SR (tiny)", "OSEDiff PNGs"] and analysis.name == "interaction"
    (mor, osediff) = (dict(zip([m.id for m in own.metrics], e, strict=True)) for _, e in analysis.table.rows)
    slope = slopes(own, "Bicubic")["MoR-SR (tiny)", "psnr"]
    assert mor["psnr"].value == slope.slope and mor["psnr"].text == f"{slope.slope:+.2f}".replace("-", "−")
    assert "p\u00a0=" in mor["psnr"].interval or "p\u00a0<" in mor["psnr"].interval
    assert osediff["psnr"].text == "–"
    assert "OSEDiff PNGs, PSNR: 1 of 30 images have no value of OSEDiff PNGs" in analysis.table.notes
    assert "per 1 of severity (30 images" in analysis.table.caption
    rows = analysis.rows.set_index(["method", "metric"])
    assert rows.loc[("MoR-SR (tiny)", "psnr"), "slope"] == slope.slope
    assert set(analysis.rows["baseline"]) == {"Bicubic"} and len(analysis.rows) == 8


def test_what_cannot_be_computed_is_one_line(tmp_path, aligned):
    alone = align(of_methods(frames(tmp_path / "a", failed=False), "bicubic"))[0]
    few = align(frames(tmp_path / "b", count=6, failed=False))[0]
    equal = replace(aligned, images=aligned.images.assign(severity=0.5))
    cases = [
        (alone, "Bicubic", "it takes a baseline and another method"),
        (aligned, None, "it takes a baseline and another method"),
        (few, "Bicubic", "it takes 10 images with an estimated severity, and these are 6"),
        (equal, "Bicubic", "all images have the same severity"),
    ]
    for own, baseline, why in cases:
        analysis = interaction.analyse(own, baseline)
        assert analysis.table.rows == () and analysis.rows.empty
        assert analysis.table.caption == f"Not computed: {why}."
