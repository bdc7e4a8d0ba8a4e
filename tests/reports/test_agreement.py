"""Kendall's tau between the rankings that metrics give."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from isrbench.reports import agreement
from isrbench.reports.agreement import Tau, kendall, odd_ones
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.statistics import means
from tests.support.report_frames import frames, of_methods

LABELS = ("Bicubic", "MoR-SR (tiny)", "OSEDiff PNGs")


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> AlignedRuns:
    return align(frames(tmp_path_factory.mktemp("images"), failed=False))[0]


def _with_means(aligned: AlignedRuns, wanted: dict[str, tuple[float, float, float]]) -> AlignedRuns:
    """Columns that hold these means, by metric and in the order of LABELS, on every image."""
    values = {}
    for metric, table in aligned.values.items():
        values[metric] = table.assign(**dict(zip(LABELS, wanted[metric], strict=True)))
    return replace(aligned, values=values)


def _analysed(aligned: AlignedRuns) -> agreement.Analysis:
    return agreement.analyse(aligned, means(aligned, list(aligned.images.index)))


def test_tau_is_scipys_tau_b():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (50, 6)).astype(float), rng.integers(0, 4, (50, 6)).astype(float)
    pairs: Any = [stats.kendalltau(x, y) for x, y in zip(a, b, strict=True)]
    expected = [pair.statistic for pair in pairs]
    assert kendall(a, b) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(kendall(np.ones((1, 4)), a[:1, :4]))[0]
    assert kendall(np.array([[1.0, np.inf, 0.0]]), np.array([[1.0, 2.0, 0.0]]))[0] == 1, "an infinite mean has a rank"


def test_the_direction_of_a_metric_counts(aligned):
    made = _with_means(aligned, {"psnr": (1, 2, 3), "ssim": (1, 2, 3), "lpips": (3, 2, 1), "musiq": (3, 2, 1)})
    taus = agreement.agreement(made, means(made, list(made.images.index)))
    by_pair = {(tau.metric, tau.other): tau for tau in taus}
    assert len(taus) == 6 and by_pair["psnr", "lpips"].tau == 1 and by_pair["psnr", "musiq"].tau == -1
    assert (by_pair["psnr", "musiq"].low, by_pair["psnr", "musiq"].high) == (-1, -1), "every resample agrees"


def test_the_metric_that_ranks_otherwise_than_all_is_named(aligned):
    made = _with_means(aligned, {"psnr": (1, 2, 3), "ssim": (1, 2, 3), "lpips": (3, 2, 1), "musiq": (3, 2, 1)})
    analysis = _analysed(made)
    assert analysis.table.notes == (
        "MUSIQ ranks otherwise than all others (tau below 0 with each of at least two)",
        "agreeing least with the others: MUSIQ (mean tau −1.00)",
    )
    assert [label for label, _ in analysis.table.rows] == [m.title for m in made.metrics]
    assert analysis.table.corner == "Metric" and len(analysis.rows) == 6
    split = _analysed(_with_means(made, {"psnr": (1, 2, 3), "ssim": (1, 2, 3), "lpips": (1, 2, 3), "musiq": (3, 2, 1)}))
    assert [note.partition(" (")[0] for note in split.table.notes] == [
        "no metric ranks otherwise than all others", "all agree with the others to the same degree",
    ]  # fmt: skip


def test_two_metrics_alone_have_no_odd_one():
    assert odd_ones([Tau("a", "b", 3, -1.0)]) == []
    assert odd_ones([Tau("a", "b", 3, -1.0), Tau("a", "c", 3, -0.3), Tau("b", "c", 3, 0.3)]) == ["a"]
    assert odd_ones([Tau("a", "b", 3, -1.0), Tau("a", "c", 3, 0.0), Tau("b", "c", 3, 0.3)]) == []


def test_intervals_show_rankings_that_the_images_do_not_settle(aligned):
    noisy = {metric: table.copy() for metric, table in aligned.values.items()}
    rng = np.random.default_rng(2)
    for label in LABELS:
        noisy["musiq"][label] = rng.normal(50, 20, len(aligned.images))
    taus = agreement.agreement(replace(aligned, values=noisy), means(aligned, list(aligned.images.index)))
    found = next(tau for tau in taus if (tau.metric, tau.other) == ("psnr", "musiq"))
    assert found.low is not None and found.high is not None and found.high - found.low > 1


def test_a_method_without_a_mean_is_not_ranked_and_fewer_than_three_are_one_line(tmp_path):
    lacking = align(frames(tmp_path / "a", count=12))[0]
    assert _analysed(lacking).table.caption == "Not computed: no two metrics have means of the same 3 methods."
    two = align(of_methods(frames(tmp_path / "b", count=3, failed=False), "bicubic", "mor"))[0]
    assert _analysed(two).table.caption == "Not computed: it takes 3 methods, and there are 2."
    assert _analysed(two).rows.empty


def test_a_metric_that_finds_all_methods_equal_has_no_tau(aligned):
    made = _with_means(aligned, {"psnr": (1, 2, 3), "ssim": (5, 5, 5), "lpips": (3, 2, 1), "musiq": (1, 2, 3)})
    analysis = _analysed(made)
    assert [m.id for m in analysis.table.metrics] == ["psnr", "lpips", "musiq"]
    assert analysis.table.notes[-1] == "in no pair with a tau: SSIM"
