"""What routing follows: rank correlations of active experts with severity, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.statistics import SEED

_DRAWS = 2000
_CHUNK = 250


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
    low, high = np.quantile(_resampled_rhos(x.to_numpy(), y.to_numpy()), (0.025, 0.975))
    return float(found.statistic), float(found.pvalue), float(low), float(high)


def _resampled_rhos(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's rho of resampled pairs; resamples in which either is constant are left out."""
    n, rng = len(x), np.random.default_rng(SEED)
    groups = [np.unique(values, return_inverse=True)[1].reshape(-1) for values in (x, y)]
    rhos = []
    for start in range(0, _DRAWS, _CHUNK):
        draws = rng.integers(0, n, (min(_CHUNK, _DRAWS - start), n))
        # How often each pair was drawn gives all ranks without sorting anew.
        times = np.stack([np.bincount(draw, minlength=n) for draw in draws])
        a, b = (_centred_ranks(times, group) for group in groups)
        norm = np.sqrt((times * a**2).sum(axis=1) * (times * b**2).sum(axis=1))
        rhos.append((times * a * b).sum(axis=1)[norm > 0] / norm[norm > 0])
    return np.concatenate(rhos)


def _centred_ranks(times: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mid-ranks less their mean, of values drawn ``times`` (draws, n); ``group`` is each value's place, ties alike."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.add.reduceat(times[:, order], starts, axis=1)
    middle = np.cumsum(size, axis=1) - (size - 1) / 2
    return middle[:, group] - (times.shape[1] + 1) / 2


def correlations(aligned: AlignedRuns, label: str) -> pd.DataFrame:
    """Correlate active experts with severity and each of its dimensions: columns by, n, rho, p, low, high."""
    rows = []
    for by in ("severity", *DIMENSIONS):
        pair = severity_and_experts(aligned, label, by)
        if len(pair) > 2:
            rho, p, low, high = correlation(pair["x"], pair["y"])
            rows.append({"by": by, "n": len(pair), "rho": rho, "p": p, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["by", "n", "rho", "p", "low", "high"])
