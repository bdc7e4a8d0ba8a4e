"""Method x severity: whether a method's difference to the baseline grows or shrinks with the severity of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.analysis import Analysis, unanswered
from isrbench.reports.statistics import DRAWS, LEVEL, SEED, holm
from isrbench.reports.tables.table import Entry, Table, p_text

LEAST = 10
"""Images with a severity that a slope takes at least."""
_CHUNK = 500
_TIE = 1e-9
"""Relative: two orders of the same numbers that differ by rounding alone are equally extreme."""
_NAME = "interaction"


@dataclass(frozen=True)
class Slope:
    """How one method's paired difference to the baseline changes with severity, in one metric."""

    method: str
    metric: str
    n: int
    """Images with a severity."""
    slope: float | None
    """Least squares: units of the metric per 1 of severity. None where an image has no finite value."""
    reason: str = ""
    """Why it is blank."""
    low: float | None = None
    high: float | None = None
    """Bootstrap 95% interval (percentiles; images resampled)."""
    p: float | None = None
    """Of :func:`permutation_p`, two-sided."""
    p_holm: float | None = None
    """After Holm's correction over this method's metrics."""
    better: bool | None = None
    """Whether the method gains on the baseline as images get worse, where that is significant; else None."""


Slopes = Mapping[tuple[str, str], Slope]
"""(label, metric id) -> slope."""


def slopes(aligned: AlignedRuns, baseline: str) -> Slopes:
    """Return the slope of every other method and every metric of images, with intervals and tests.

    All columns see the same resamples and permutations, so that they can be compared.

    Args:
        aligned: Runs of one set.
        baseline: Label that the others are compared with.
    """
    severity = aligned.images["severity"].dropna().astype(float)
    found: dict[tuple[str, str], Slope] = {}
    columns: dict[tuple[str, str], NDArray[np.float64]] = {}
    for metric, table in aligned.values.items():
        own = table.loc[severity.index]
        for label in aligned.labels:
            if label == baseline:
                continue
            pair = own[[label, baseline]].to_numpy(float)
            why = _why_blank(pair, label, baseline)
            found[label, metric] = Slope(label, metric, len(own), None, why)
            if not why:
                columns[label, metric] = pair[:, 0] - pair[:, 1]
    if columns:
        x, y = severity.to_numpy(), np.column_stack(list(columns.values()))
        low, high = np.nanquantile(bootstrap_slopes(x, y), (0.025, 0.975), axis=0)
        numbers = zip(columns, least_squares(x, y), low, high, permutation_p(x, y), strict=True)
        for key, slope, lower, upper, p in numbers:
            found[key] = replace(found[key], slope=float(slope), low=float(lower), high=float(upper), p=float(p))
    for label in aligned.labels:
        _correct(found, label, aligned.metrics)
    return found


def least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least-squares slope of each column of ``y`` (n, k) over ``x`` (n,): (k,)."""
    centred = x - x.mean()
    return centred @ y / (centred @ centred)


def bootstrap_slopes(
    x: NDArray[np.float64], y: NDArray[np.float64], draws: int = DRAWS, seed: int = SEED
) -> NDArray[np.float64]:
    """Return slopes over resampled images (pairs of x and y): no assumption on how the scatter depends on ``x``.

    Args:
        x: (n,), finite, not all equal.
        y: (n, k), finite; all columns see the same resamples.
        draws: Number of resamples.
        seed: Seed.

    Returns:
        (draws, k); NaN for a resample whose ``x`` are all equal.
    """
    n, rng = len(x), np.random.default_rng(seed)
    # Centred before they are squared: what is subtracted below is small.
    x, y = x - x.mean(), y - y.mean(axis=0)
    parts = []
    for start in range(0, draws, _CHUNK):
        share = rng.multinomial(n, np.full(n, 1 / n), size=min(_CHUNK, draws - start)) / n
        mean = share @ x
        spread = share @ x**2 - mean**2
        spread[spread < _TIE * x.var()] = np.nan
        parts.append((share @ (x[:, None] * y) - mean[:, None] * (share @ y)) / spread[:, None])
    return np.concatenate(parts)


def permutation_p(
    x: NDArray[np.float64], y: NDArray[np.float64], draws: int = DRAWS, seed: int = SEED
) -> NDArray[np.float64]:
    """Return the two-sided p of each column's slope from a studentised permutation test.

    ``x`` is dealt out anew among the images. The statistic is abs(sum(x y)) / sqrt(sum(x^2 y^2)), of centred x and y:
    the slope over its standard error that holds whatever the scatter at each ``x``. With it the test is exact where y
    does not depend on x at all, and holds for many images where only the slope is 0 (DiCiccio and Romano, Journal of
    the American Statistical Association 112, 2017). The plain slope would be too sure where the scatter grows with
    severity.

    Args:
        x: (n,), finite.
        y: (n, k), finite; all columns see the same permutations.
        draws: Number of permutations; p is at least 1 / (draws + 1).
        seed: Seed.

    Returns:
        (k,).
    """
    rng = np.random.default_rng(seed)
    x, y = x - x.mean(), y - y.mean(axis=0)
    seen = _studentised(x[None], y)
    extreme = np.zeros(y.shape[1])
    for start in range(0, draws, _CHUNK):
        dealt = rng.permuted(np.tile(x, (min(_CHUNK, draws - start), 1)), axis=1)
        extreme += (_studentised(dealt, y) >= seen * (1 - _TIE)).sum(axis=0)
    return (1 + extreme) / (1 + draws)


def analyse(aligned: AlignedRuns, baseline: str | None) -> Analysis:
    """Return the slopes of a set as a table and as rows, or why there are none."""
    title = f"{aligned.title}: does the difference to the baseline depend on severity?"
    known = aligned.images["severity"].dropna()
    why = ""
    if baseline is None or len(aligned.labels) < 2:
        why = "Not computed: it takes a baseline and another method."
    elif len(known) < LEAST:
        why = f"Not computed: it takes {LEAST} images with an estimated severity, and these are {len(known)}."
    elif known.nunique() == 1:
        why = "Not computed: all images have the same severity."
    if why or baseline is None:
        return unanswered(_NAME, title, why)
    found = slopes(aligned, baseline)
    if all(slope.slope is None for slope in found.values()):
        reason = next((slope.reason for slope in found.values()), "no metric of single images")
        return unanswered(_NAME, title, f"Not computed: {reason}.")
    rows = pd.DataFrame([vars(slope) for slope in found.values()])
    rows.insert(0, "dataset", aligned.title)
    return Analysis(
        _NAME,
        _table(aligned, found, title, baseline, len(known)),
        rows.assign(baseline=baseline, estimator=aligned.estimator),
    )


def _why_blank(pair: NDArray[np.float64], label: str, baseline: str) -> str:
    for place, name in enumerate((label, baseline)):
        missing = int(np.isnan(pair[:, place]).sum())
        if missing:
            return f"{missing} of {len(pair)} images have no value of {name}"
    return "" if np.isfinite(pair).all() else "holds an infinity"


def _studentised(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, n) and (n, k), both centred, to (m, k); 0 where every product is 0."""
    error = np.sqrt(x**2 @ y**2)
    return np.divide(np.abs(x @ y), error, out=np.zeros_like(error), where=error > 0)


def _correct(found: dict[tuple[str, str], Slope], label: str, metrics: Sequence[Metric]) -> None:
    """Add Holm's correction over a method's metrics, and whether what is significant is a gain."""
    tested = [(m, s) for m in metrics if (s := found.get((label, m.id))) is not None and s.p is not None]
    for (metric, slope), p in zip(tested, holm([s.p or 0.0 for _, s in tested]), strict=True):
        better = None
        if p < LEVEL and slope.slope:
            better = (slope.slope > 0) == (metric.direction is Direction.HIGHER)
        found[label, metric.id] = replace(slope, p_holm=p, better=better)


def _table(aligned: AlignedRuns, found: Slopes, title: str, baseline: str, n: int) -> Table:
    others = [label for label in aligned.labels if label != baseline]
    per_image = [m for m in aligned.metrics if m.id in aligned.values]
    shown = tuple(m for m in per_image if any(found[label, m.id].slope is not None for label in others))
    empty = [f"{m.title} ({next(found[label, m.id].reason for label in others)})" for m in per_image if m not in shown]
    blanks = [(label, m, found[label, m.id]) for label in others for m in shown]
    legend = (
        f"+ / - = gains on / loses to {baseline} as images get more degraded "
        f"(studentised permutation test, Holm over metrics, p < {LEVEL:g})"
    )
    return Table(
        title=title,
        caption=(
            f"Slope of the paired difference to {baseline} over the estimated severity, in units of the metric per 1 "
            f"of severity ({n} images, severities {aligned.images['severity'].min():.2f} to "
            f"{aligned.images['severity'].max():.2f}): least squares, bootstrap 95% intervals ({DRAWS:,} resamples of "
            f"the images). {legend}. The error of an estimated severity pulls slopes towards 0. Severity estimator: "
            f"{aligned.estimator}."
        ),
        metrics=shown,
        n=n,
        rows=tuple((label, tuple(_entry(found[label, m.id], m) for m in shown)) for label in others),
        notes=(
            *(f"{label}, {m.title}: {slope.reason}" for label, m, slope in blanks if slope.slope is None),
            *([f"without values: {', '.join(empty)}"] if empty else []),
        ),
        estimator=aligned.estimator,
        legend=legend,
    )


def _entry(slope: Slope, metric: Metric) -> Entry:
    if slope.slope is None or slope.low is None or slope.high is None or slope.p_holm is None:
        return Entry("–", note=slope.reason)
    middle, low, high = (
        f"{number:+.{metric.decimals}f}".replace("-", "−") for number in (slope.slope, slope.low, slope.high)
    )
    sign = {True: "+", False: "-", None: ""}[slope.better]
    note = f"95% interval [{low}, {high}], n = {slope.n}, {p_text(slope.p_holm)}"
    return Entry(middle, sign=sign, interval=f"[{low}, {high}], {p_text(slope.p_holm)}", note=note, value=slope.slope)
