"""Means with intervals, paired differences, tests and ranks.

The rule for infinities: a mean over values of which one is +inf (or -inf) is that infinity and is ranked as such; with
both signs it is blank. Intervals, differences and tests of such a column are blank, since none of them is defined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from harness.metric import Direction, Metric, Reference
from reports.view import View

DRAWS = 10_000
"""Bootstrap resamples of the images."""
SEED = 0
"""Seed of the resampling: the same rows give the same digits."""
LEVEL = 0.05
"""A difference counts as significant below this p after Holm's correction."""
_CHUNK = 500


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
    p_holm: float | None = None
    """After Holm's correction over this method's metrics."""
    rank: int | None = None
    """Among the methods with a mean; 1 is best, equal means share the better rank."""
    better: bool | None = None
    """Whether the difference to the baseline is an improvement, where it is significant; else None."""


def compare(view: View, images: Sequence[str], baseline: str | None) -> dict[tuple[str, str], Cell]:
    """Every (label, metric id) over ``images``.

    Set metrics (FID) have a value for the whole set alone: over a part of it they are blank.

    Args:
        view: Runs of one dataset.
        images: Which images; normally all, or those of a stratum.
        baseline: Label that the others are compared with, or None for no comparison.
    """
    cells: dict[tuple[str, str], Cell] = {}
    for metric in view.metrics:
        if metric.reference is Reference.SET:
            column = {label: _set_cell(view, label, metric.id, images) for label in view.labels}
        else:
            column = _image_cells(view, metric.id, images, baseline)
        ranks = _ranks({label: c.mean for label, c in column.items()}, metric.direction)
        cells.update({(label, metric.id): replace(c, rank=ranks.get(label)) for label, c in column.items()})
    for label in view.labels:
        _correct(cells, label, view.metrics)
    return cells


def bootstrap_means(values: NDArray[np.float64], draws: int = DRAWS, seed: int = SEED) -> NDArray[np.float64]:
    """Means of resampled rows.

    Args:
        values: (n, k), finite; all columns see the same resamples.
        draws: Number of resamples.
        seed: Seed.

    Returns:
        (draws, k).
    """
    n = len(values)
    rng = np.random.default_rng(seed)
    # How often each image is drawn says all about a resample; the means are then one matrix product.
    parts = [
        rng.multinomial(n, np.full(n, 1 / n), size=min(_CHUNK, draws - start)) @ values / n
        for start in range(0, draws, _CHUNK)
    ]
    return np.concatenate(parts)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scandinavian Journal of Statistics 6, 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = running
    return corrected.tolist()


def wilcoxon_p(differences: NDArray[np.float64]) -> float:
    """Two-sided Wilcoxon signed-rank p; 1 where no difference is other than 0."""
    if not np.any(differences):
        return 1.0
    test: Any = stats.wilcoxon(differences)
    return float(test.pvalue)


def _set_cell(view: View, label: str, metric: str, images: Sequence[str]) -> Cell:
    value: Any = view.set_values[metric][label]
    if len(images) < len(view.images):
        return Cell(label, metric, len(images), None, "defined for the whole set only")
    if pd.isna(value):
        return Cell(label, metric, len(images), None, view.reasons.get((label, metric), "not computed"))
    return Cell(label, metric, len(images), float(value))


def _image_cells(view: View, metric: str, images: Sequence[str], baseline: str | None) -> dict[str, Cell]:
    table = view.values[metric].loc[list(images)]
    cells = {label: _mean_cell(view, label, metric, table[label]) for label in view.labels}
    finite = [label for label in view.labels if len(table) and np.isfinite(table[label]).all()]
    if not finite:
        return cells
    values = table[finite].to_numpy()
    means = bootstrap_means(values)
    compared = baseline in finite
    if compared:
        base = finite.index(baseline)
        differences, shifts = values - values[:, [base]], means - means[:, [base]]
        shift_bounds = np.quantile(shifts, (0.025, 0.975), axis=0)
    bounds = np.quantile(means, (0.025, 0.975), axis=0)
    for place, label in enumerate(finite):
        cells[label] = replace(cells[label], low=float(bounds[0, place]), high=float(bounds[1, place]))
        if compared and label != baseline:
            cells[label] = replace(
                cells[label],
                difference=float(differences[:, place].mean()),
                difference_low=float(shift_bounds[0, place]),
                difference_high=float(shift_bounds[1, place]),
                p=wilcoxon_p(differences[:, place]),
            )
    return cells


def _mean_cell(view: View, label: str, metric: str, column: pd.Series) -> Cell:
    n, missing = len(column), int(column.isna().sum())
    if n == 0:
        return Cell(label, metric, 0, None, "no image")
    if missing:
        failed = int((view.status.loc[column.index, label] == "failed").sum())
        absent = int((view.status.loc[column.index, label] == "absent").sum())
        why = "failed" if failed == missing else "not in the run" if absent == missing else ""
        why = why or view.reasons.get((label, metric), "not computed")
        return Cell(label, metric, n, None, f"{missing} of {n}: {why}" if missing < n else why)
    if {np.inf, -np.inf} <= set(column):
        return Cell(label, metric, n, None, "holds both infinities")
    return Cell(label, metric, n, float(column.mean()))


def _ranks(means: dict[str, float | None], direction: Direction) -> dict[str, int]:
    known = {label: mean for label, mean in means.items() if mean is not None}
    sign = -1 if direction is Direction.HIGHER else 1
    ranks = stats.rankdata([sign * mean for mean in known.values()], method="min")
    return {label: int(rank) for label, rank in zip(known, ranks, strict=True)}


def _correct(cells: dict[tuple[str, str], Cell], label: str, metrics: Sequence[Metric]) -> None:
    """Fill in Holm's correction over a method's metrics, and whether what is significant is an improvement."""
    tested = [(metric, cells[label, metric.id]) for metric in metrics if cells[label, metric.id].p is not None]
    for (metric, cell), p in zip(tested, holm([c.p or 0.0 for _, c in tested]), strict=True):
        better = None
        if p < LEVEL and cell.difference:
            better = (cell.difference > 0) == (metric.direction is Direction.HIGHER)
        cells[label, metric.id] = replace(cell, p_holm=p, better=better)
