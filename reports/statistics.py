"""Means with intervals, paired differences, tests and ranks.

The rule for infinities: a mean over values of which one is +inf (or -inf) is that infinity and is ranked as such; with
both signs it is blank. Intervals, differences and tests of such a column are blank, since none of them is defined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.harness.api.records import ImageStatus
from isrbench.reports.aligned import ABSENT, AlignedRuns

DRAWS = 10_000
"""Bootstrap resamples of the images."""
SEED = 0
"""Seed of the resampling: the same rows give the same digits."""
LEVEL = 0.05
"""A difference counts as significant below this p after Holm's correction."""
_CHUNK = 500
_KEPT = 1 << 25
"""The most counts of resamples that are kept: 10,000 resamples of 3,000 images."""
_LOST = {ImageStatus.FAILED.value: "failed", ImageStatus.OOM.value: "out of memory", ABSENT: "not in the run"}
"""Status of an image without a result -> in words."""
_WHOLE_ONLY = "defined for the whole set only"


@dataclass(frozen=True)
class Cell:
    """One method's mean of one metric over one set of images."""

    method: str
    metric: str
    n: int
    """Images in the set."""
    mean: float | None
    """None where a value is missing: a mean over a part would not be comparable."""
    reason: str = ""
    """Why the mean is blank."""
    low: float | None = None
    high: float | None = None
    """Bootstrap 95% interval of the mean (percentiles)."""
    difference: float | None = None
    """Mean paired difference to the baseline on the same images; None for the baseline itself."""
    difference_low: float | None = None
    difference_high: float | None = None
    p: float | None = None
    """Wilcoxon signed-rank, two-sided."""
    signed_rank: float | None = None
    """Ranks of positive differences less those of negative ones: the direction that ``p`` is about."""
    p_holm: float | None = None
    """After Holm's correction over this method's metrics."""
    rank: int | None = None
    """Among the methods with a mean; 1 is best, equal means share the better rank."""
    better: bool | None = None
    """Whether the difference to the baseline is an improvement, where it is significant and the ranks that the test is
    about lean the same way as the mean; else None."""


Cells = dict[tuple[str, str], Cell]
"""(label, metric id) -> cell."""


def means(aligned: AlignedRuns, images: Sequence[str]) -> Cells:
    """Return mean and rank of every (label, metric id) over ``images``, without intervals and tests.

    Set metrics (FID) have a value for the whole set alone: over a part of it they are blank.
    """
    cells: Cells = {}
    for metric in aligned.metrics:
        if metric.reference is Reference.SET:
            column = {label: _set_cell(aligned, label, metric.id, images) for label in aligned.labels}
        else:
            table = aligned.values[metric.id].loc[list(images)]
            column = {label: _mean_cell(aligned, label, metric.id, table[label]) for label in aligned.labels}
        ranks = _ranks({label: c.mean for label, c in column.items()}, metric.direction)
        cells.update({(label, metric.id): replace(c, rank=ranks.get(label)) for label, c in column.items()})
    return cells


def compare_means(aligned: AlignedRuns, images: Sequence[str], baseline: str | None) -> Cells:
    """Return :func:`means` with bootstrap intervals, and differences to a baseline with their tests.

    Args:
        aligned: Runs of one set.
        images: Which images; normally all, or those of a stratum.
        baseline: Label that the others are compared with, or None for no comparison.
    """
    cells = means(aligned, images)
    _add_intervals(aligned, cells, images, baseline)
    for label in aligned.labels:
        _correct(cells, label, aligned.metrics)
    return cells


def bootstrap_means(values: NDArray[np.float64], draws: int = DRAWS, seed: int = SEED) -> NDArray[np.float64]:
    """Return means of resampled rows.

    Args:
        values: (n, k), finite; all columns see the same resamples.
        draws: Number of resamples.
        seed: Seed.

    Returns:
        (draws, k).
    """
    n = len(values)
    # How often each image is drawn says all about a resample; the means are then one matrix product.
    parts = [counts @ values / n for counts in _counts(n, draws, seed)]
    # A matrix product adds in blocks: equal columns may differ in their last bits, and would not tie in a ranking.
    _, first, place = np.unique(values, axis=1, return_index=True, return_inverse=True)
    return np.concatenate(parts)[:, first[place.reshape(-1)]]


def _counts(n: int, draws: int, seed: int) -> Iterable[NDArray[Any]]:
    """Return how often each of ``n`` images is drawn, (up to ``_CHUNK``, n) an array, ``draws`` rows in all."""
    if draws * n > _KEPT:
        return _drawn(n, draws, seed)
    return _kept_counts(n, draws, seed)


@lru_cache(maxsize=4)
def _kept_counts(n: int, draws: int, seed: int) -> tuple[NDArray[Any], ...]:
    """Keep the last ones: groups of one size are resampled again and again, and drawing takes longest."""
    return tuple(_drawn(n, draws, seed))


def _drawn(n: int, draws: int, seed: int) -> Iterator[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=min(_CHUNK, draws - start))
        yield drawn.astype(np.min_scalar_type(n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values, in their order, after Holm's correction (Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = running
    return corrected.tolist()


def wilcoxon_p(differences: NDArray[np.float64]) -> float:
    """Return the two-sided Wilcoxon signed-rank p; 1 where every difference is 0."""
    if not np.any(differences):
        return 1.0
    test: Any = stats.wilcoxon(differences)
    return float(test.pvalue)


def signed_rank_sum(differences: NDArray[np.float64]) -> float:
    """Return the sum of the ranks of |difference|, each with its sign; zero differences are dropped, as in the test."""
    kept = differences[differences != 0]
    return float((np.sign(kept) * stats.rankdata(np.abs(kept))).sum())


def _set_cell(aligned: AlignedRuns, label: str, metric: str, images: Sequence[str]) -> Cell:
    value: Any = aligned.set_values[metric][label]
    own: Any = aligned.runs["n"][label]
    n = len(images)
    if n < len(aligned.images):
        return Cell(label, metric, n, None, _WHOLE_ONLY)
    why = _unrestored(aligned, label, aligned.status.index)
    if why:
        return Cell(label, metric, n, None, why)
    if n < own:  # the value is about more images than are compared
        return Cell(label, metric, n, None, _WHOLE_ONLY)
    if pd.isna(value):
        return Cell(label, metric, n, None, aligned.reasons.get((label, metric), "not computed"))
    return Cell(label, metric, n, float(value))


def _add_intervals(aligned: AlignedRuns, cells: Cells, images: Sequence[str], baseline: str | None) -> None:
    """Add intervals of all finite columns, from one set of resamples, and the differences to the baseline."""
    columns = {
        (label, id): column
        for id, table in aligned.values.items()
        for label, column in table.loc[list(images)].items()
        if len(column) and np.isfinite(column).all()
    }
    if not columns:
        return
    keys: list[Any] = list(columns)
    values = np.column_stack([columns[key] for key in keys])
    resampled = bootstrap_means(values)
    bounds = np.quantile(resampled, (0.025, 0.975), axis=0)
    for place, (label, id) in enumerate(keys):
        cell = replace(cells[label, id], low=float(bounds[0, place]), high=float(bounds[1, place]))
        if label != baseline and (baseline, id) in columns:
            base = keys.index((baseline, id))
            differences = values[:, place] - values[:, base]
            low, high = np.quantile(resampled[:, place] - resampled[:, base], (0.025, 0.975))
            cell = replace(
                cell,
                difference=float(differences.mean()),
                difference_low=float(low),
                difference_high=float(high),
                p=wilcoxon_p(differences),
                signed_rank=signed_rank_sum(differences),
            )
        cells[label, id] = cell


def _unrestored(aligned: AlignedRuns, label: str, images: Any) -> str:
    """Say how many of ``images`` a run has no restored image of, and why; return "" where it has all."""
    counts = aligned.status.loc[images, label].value_counts()
    words = [f"{counts[kind]} of {len(images)}: {word}" for kind, word in _LOST.items() if kind in counts]
    return "; ".join(words)


def _mean_cell(aligned: AlignedRuns, label: str, metric: str, column: pd.Series) -> Cell:
    n, missing = len(column), int(column.isna().sum())
    if n == 0:
        return Cell(label, metric, 0, None, "no image")
    if missing:
        lost = aligned.status.loc[column.index, label] != "ok"
        if int(lost.sum()) == missing:
            return Cell(label, metric, n, None, _unrestored(aligned, label, column.index))
        why = aligned.reasons.get((label, metric), "not computed")
        return Cell(label, metric, n, None, f"{missing} of {n}: {why}" if missing < n else why)
    if {np.inf, -np.inf} <= set(column):
        return Cell(label, metric, n, None, "holds both infinities")
    return Cell(label, metric, n, float(column.mean()))


def _ranks(means: dict[str, float | None], direction: Direction) -> dict[str, int]:
    known = {label: mean for label, mean in means.items() if mean is not None}
    sign = -1 if direction is Direction.HIGHER else 1
    ranks = stats.rankdata([sign * mean for mean in known.values()], method="min")
    return {label: int(rank) for label, rank in zip(known, ranks, strict=True)}


def _correct(cells: Cells, label: str, metrics: Sequence[Metric]) -> None:
    """Add Holm's correction over a method's metrics, and whether what is significant is an improvement."""
    tested = [(metric, cells[label, metric.id]) for metric in metrics if cells[label, metric.id].p is not None]
    for (metric, cell), p in zip(tested, holm([c.p or 0.0 for _, c in tested]), strict=True):
        better = None
        # The test is about ranks, the table about means: where they disagree, neither sign would be true.
        if p < LEVEL and cell.difference and cell.signed_rank and (cell.difference > 0) == (cell.signed_rank > 0):
            better = (cell.difference > 0) == (metric.direction is Direction.HIGHER)
        cells[label, metric.id] = replace(cell, p_holm=p, better=better)
