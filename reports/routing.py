"""What routing follows: rank correlations of active experts with severity, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.statistics import SEED

_DRAWS = 2000


def routed(aligned: AlignedRuns) -> list[str]:
    """Return the labels of methods that route."""
    return [label for label in aligned.labels if aligned.active[label].notna().any()]


def severity_and_experts(aligned: AlignedRuns, label: str, by: str) -> pd.DataFrame:
    """Return the images' severity, or the dimension ``by`` (column x), and their mean active experts (column y)."""
    return pd.concat([aligned.images[by], aligned.active[label]], axis=1, keys=["x", "y"]).dropna().astype(float)


def correlation(x: pd.Series, y: pd.Series) -> tuple[float, float, float, float]:
    """Return Spearman's rho, its p, and a bootstrap 95% interval (pairs resampled); NaN where either is constant."""
    if x.nunique() < 2 or y.nunique() < 2:
        return float("nan"), float("nan"), float("nan"), float("nan")
    found: Any = stats.spearmanr(x, y)
    rng = np.random.default_rng(SEED)
    a, b = x.to_numpy(), y.to_numpy()
    draws = rng.integers(0, len(a), (_DRAWS, len(a)))
    ranks_a, ranks_b = (stats.rankdata(v[draws], axis=1) for v in (a, b))
    ranks_a -= ranks_a.mean(axis=1, keepdims=True)
    ranks_b -= ranks_b.mean(axis=1, keepdims=True)
    norm = np.sqrt((ranks_a**2).sum(axis=1) * (ranks_b**2).sum(axis=1))
    rhos = (ranks_a * ranks_b).sum(axis=1)[norm > 0] / norm[norm > 0]
    low, high = np.quantile(rhos, (0.025, 0.975))
    return float(found.statistic), float(found.pvalue), float(low), float(high)


def correlations(aligned: AlignedRuns, label: str) -> pd.DataFrame:
    """Correlate active experts with severity and each of its dimensions: columns by, n, rho, p, low, high."""
    rows = []
    for by in ("severity", *DIMENSIONS):
        pair = severity_and_experts(aligned, label, by)
        if len(pair) > 2:
            rho, p, low, high = correlation(pair["x"], pair["y"])
            rows.append({"by": by, "n": len(pair), "rho": rho, "p": p, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["by", "n", "rho", "p", "low", "high"])
