"""Whether metrics rank the methods alike: Kendall's tau between the rankings that each pair of metrics gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.analysis import Analysis, unanswered
from isrbench.reports.composites import NTIRE
from isrbench.reports.statistics import Cells, bootstrap_means
from isrbench.reports.tables.table import Entry, Table

LEAST = 3
"""Methods that an agreement takes at least: two are ranked either alike or the other way round."""
_DRAWS = 2000
_NAME = "agreement"


@dataclass(frozen=True)
class Tau:
    """How alike two metrics rank the methods."""

    metric: str
    other: str
    methods: int
    """How many methods have a mean in both."""
    tau: float | None
    """Kendall's tau-b in [-1, 1]: 1 = the same order, -1 = the reverse. None for fewer than LEAST methods, and where
    one of the two finds all of them equal."""
    low: float | None = None
    high: float | None = None
    """Bootstrap 95% interval over images; None where either metric has no finite value for each image (FID)."""


def agreement(aligned: AlignedRuns, cells: Cells) -> list[Tau]:
    """Return tau for each pair of metrics, in their order, by the means over all images.

    Args:
        aligned: Runs of one set.
        cells: Means over all its images.
    """
    # A sum of other columns agrees with them by itself.
    compared = [m for m in aligned.metrics if m is not NTIRE]
    means = {m.id: _means(aligned, cells, m) for m in compared}
    resampled = resampled_means(aligned)
    found = []
    for a, b in combinations(compared, 2):
        labels = [label for label in aligned.labels if label in means[a.id] and label in means[b.id]]
        if len(labels) < LEAST:
            found.append(Tau(a.id, b.id, len(labels), None))
            continue
        first, second = (np.array([[means[m.id][label] for label in labels]]) for m in (a, b))
        tau = float(kendall(first, second)[0])
        low = high = None
        keys = [(label, m.id) for m in (a, b) for label in labels]
        if np.isfinite(tau) and all(key in resampled for key in keys):
            draws = [_signed(np.column_stack([resampled[label, m.id] for label in labels]), m) for m in (a, b)]
            low, high = (float(bound) for bound in np.nanquantile(kendall(*draws), (0.025, 0.975)))
        found.append(Tau(a.id, b.id, len(labels), tau if np.isfinite(tau) else None, low, high))
    return found


def kendall(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Kendall's tau-b of each row of ``a`` (n, m) with that row of ``b``; NaN where either row is constant."""
    one, other = np.triu_indices(a.shape[1], 1)
    # Compared, not subtracted: a mean may be infinite.
    x, y = ((v[:, one] > v[:, other]).astype(float) - (v[:, one] < v[:, other]) for v in (a, b))
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.divide((x * y).sum(axis=1), norm, out=np.full(len(a), np.nan), where=norm > 0)


def resampled_means(aligned: AlignedRuns) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Return means over resampled images, (draws,), of every (label, metric id) that is complete and finite.

    All come from the same resamples.
    """
    columns = {
        (str(label), metric): column.to_numpy(float)
        for metric, table in aligned.values.items()
        for label, column in table.items()
        if len(column) and np.isfinite(column).all()
    }
    if not columns:
        return {}
    drawn = bootstrap_means(np.column_stack(list(columns.values())), draws=_DRAWS)
    return dict(zip(columns, drawn.T, strict=True))


def odd_ones(taus: Sequence[Tau]) -> list[str]:
    """Return the metrics that rank otherwise than all others: tau below 0 with each of at least two others."""
    return [
        metric
        for metric, own in _by_metric(taus).items()
        if len(own) > 1 and all(tau < 0 for tau in own)
    ]  # fmt: skip


def analyse(aligned: AlignedRuns, cells: Cells) -> Analysis:
    """Return the agreement of a set's metrics as a table and as rows, or why there is none."""
    title = f"{aligned.title}: do metrics rank the methods alike?"
    if len(aligned.labels) < LEAST:
        count, verb = len(aligned.labels), "is" if len(aligned.labels) == 1 else "are"
        return unanswered(_NAME, title, f"Not computed: it takes {LEAST} methods, and there {verb} {count}.")
    taus = agreement(aligned, cells)
    if all(tau.tau is None for tau in taus):
        return unanswered(_NAME, title, f"Not computed: no two metrics have means of the same {LEAST} methods.")
    rows = pd.DataFrame([vars(tau) for tau in taus])
    rows.insert(0, "dataset", aligned.title)
    return Analysis(_NAME, _table(aligned, taus, title), rows)


def _means(aligned: AlignedRuns, cells: Cells, metric: Metric) -> dict[str, float]:
    sign = 1 if metric.direction is Direction.HIGHER else -1
    found = {label: cells[label, metric.id].mean for label in aligned.labels}
    return {label: sign * mean for label, mean in found.items() if mean is not None}


def _signed(means: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    return means if metric.direction is Direction.HIGHER else -means


def _by_metric(taus: Sequence[Tau]) -> dict[str, list[float]]:
    """Return each metric's taus with the others, where they are known."""
    found: dict[str, list[float]] = {}
    for tau in taus:
        if tau.tau is not None:
            for metric in (tau.metric, tau.other):
                found.setdefault(metric, []).append(tau.tau)
    return found


def _table(aligned: AlignedRuns, taus: Sequence[Tau], title: str) -> Table:
    known = _by_metric(taus)
    shown = tuple(m for m in aligned.metrics if m.id in known)
    titles = {m.id: m.title for m in aligned.metrics}
    empty = [title for metric, title in titles.items() if metric not in known]
    by_pair = {pair: tau for tau in taus for pair in ((tau.metric, tau.other), (tau.other, tau.metric))}
    counts = sorted({tau.methods for tau in taus if tau.tau is not None})
    methods = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return Table(
        title=title,
        caption=(
            f"Kendall's tau-b between the rankings of {methods} methods by their means over {len(aligned.images)} "
            f"images: 1 = the same order, −1 = the reverse. Intervals: 95%, {_DRAWS:,} resamples of the images; they "
            f"say how settled the two rankings are on such images, not what other methods would give."
        ),
        metrics=shown,
        n=len(aligned.images),
        rows=tuple((m.title, tuple(_entry(m.id, other.id, by_pair) for other in shown)) for m in shown),
        notes=(*_words(taus, known, titles), *([f"in no pair with a tau: {', '.join(empty)}"] if empty else [])),
        estimator=aligned.estimator,
        corner="Metric",
    )


def _words(taus: Sequence[Tau], known: Mapping[str, Sequence[float]], titles: Mapping[str, str]) -> tuple[str, str]:
    """Say which metric ranks otherwise than all others, and which agrees least with them."""
    odd = [titles[metric] for metric in odd_ones(taus)]
    who = f"{' and '.join(odd)} {'ranks' if len(odd) == 1 else 'rank'}" if odd else "no metric ranks"
    first = f"{who} otherwise than all others (tau below 0 with each of at least two)"
    averages = {metric: float(np.mean(own)) for metric, own in known.items()}
    least = min(averages.values())
    lowest = [titles[metric] for metric, average in averages.items() if np.isclose(average, least)]
    if len(lowest) == len(averages):
        return first, f"all agree with the others to the same degree (mean tau {_number(least)})"
    return first, f"agreeing least with the others: {', '.join(lowest)} (mean tau {_number(least)})"


def _entry(metric: str, other: str, by_pair: Mapping[tuple[str, str], Tau]) -> Entry:
    if metric == other:
        return Entry("1", note="the metric itself")
    tau = by_pair[metric, other]
    if tau.tau is None:
        few = tau.methods < LEAST
        return Entry("–", note=f"{tau.methods} methods have both" if few else "one of the two finds all methods equal")
    interval = "" if tau.low is None or tau.high is None else f"[{_number(tau.low)}, {_number(tau.high)}]"
    return Entry(_number(tau.tau), interval=interval, note=f"{tau.methods} methods {interval}".strip(), value=tau.tau)


def _number(tau: float) -> str:
    return f"{tau:+.2f}".replace("-", "−")
