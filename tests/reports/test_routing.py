"""Rank correlations of routing with severity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from isrbench.reports.aligned import align
from isrbench.reports.routing import correlation, correlations, routed
from tests.support.report_frames import frames


def test_correlation_agrees_with_scipy():
    rng = np.random.default_rng(3)
    x = pd.Series(rng.normal(size=60))
    y = x + pd.Series(rng.normal(size=60))
    rho, p, low, high = correlation(x, y)
    theirs = stats.spearmanr(x, y)
    assert (rho, p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    interval = stats.bootstrap(
        (x, y), lambda a, b: stats.spearmanr(a, b).statistic, paired=True, vectorized=False, n_resamples=1500,
        method="percentile", rng=1,
    ).confidence_interval  # fmt: skip
    assert low == pytest.approx(interval.low, abs=0.04) and high == pytest.approx(interval.high, abs=0.04)


def test_constant_routing_has_no_correlation():
    assert all(np.isnan(correlation(pd.Series([1.0, 2, 3]), pd.Series([4.0, 4, 4]))))


def test_correlations_cover_severity_and_all_dimensions(tmp_path):
    (aligned,) = align(frames(tmp_path))
    assert routed(aligned) == ["MoR-SR (tiny)"]
    table = correlations(aligned, "MoR-SR (tiny)")
    assert next(iter(table["by"])) == "severity" and len(table) == 8
    assert (table["low"] <= table["rho"]).all() and (table["rho"] <= table["high"]).all()
    assert correlations(aligned, "Bicubic").empty
