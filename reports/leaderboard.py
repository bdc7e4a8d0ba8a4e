"""Who is ahead, over all sets or on one, by which metrics, and how sure that is: mean ranks with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.composites import NTIRE
from isrbench.reports.statistics import SEED, bootstrap_means
from isrbench.reports.tables.table import heading, shown

ALL = ""
"""The scope of all sets together."""
_EVERY = "all"
_GROUPS = {_EVERY: "All metrics", "full": "Full reference", "none": "No reference"}


@dataclass(frozen=True)
class Place:
    """What a board shows in one cell besides the mean rank."""

    text: str
    value: float | None
    """To sort by."""
    rank: float | None
    """Of the mean in ``text``; None where that is a mean rank itself, or blank."""


@dataclass(frozen=True)
class Standing:
    """One method on a board."""

    method: str
    rank: float | None
    """Mean over sets of the mean over metrics of its rank by its mean; equal means share the average rank. None where
    ``reason`` says why."""
    low: float | None
    high: float | None
    """95% bootstrap interval of the mean rank (percentiles): the images of each set are resampled."""
    places: tuple[Place, ...]
    reason: str = ""


@dataclass(frozen=True)
class Board:
    """Methods ranked over some sets by some metrics."""

    scope: str
    """Title of the set, or ``ALL``."""
    group: str
    """Id of a metric, or ``all``, ``full``, ``none``."""
    title: str
    """Of the group."""
    columns: tuple[tuple[str, bool], ...]
    """(heading, whether larger is better) of each place."""
    metrics: tuple[str, ...]
    """Titles of the metrics that count."""
    left_out: tuple[str, ...]
    """Titles of metrics of the group that some ranked method has no finite mean of."""
    standings: tuple[Standing, ...]
    """Best first; those without a rank last."""


def has_leaderboard(sets: Sequence[ComparedSet]) -> bool:
    """Return whether there is anything to rank: two methods on one set."""
    return any(len(compared.aligned.labels) > 1 for compared in sets)


def leaderboards(sets: Sequence[ComparedSet]) -> list[Board]:
    """Return a board for all sets (where there are several) and for each, by groups of metrics and by each metric.

    Over all sets only methods that were run on each of them are ranked. A group's metrics are those that all ranked
    methods have a finite mean of on a set; metrics of whole sets (FID) and composites have no rank here.
    """
    usable = [_Scores(compared.aligned, SEED + place) for place, compared in enumerate(sets)]
    scopes = [*([(ALL, usable)] if len(usable) > 1 else []), *((own.title, [own]) for own in usable)]
    boards = []
    for scope, chosen in scopes:
        metrics = {metric.id: metric for own in chosen for metric in own.metrics}
        titles = {**_GROUPS, **{id: metric.title for id, metric in metrics.items()}}
        for group, title in titles.items():
            if _in_group(metrics.values(), group):
                boards.append(_board(scope, group, title, chosen))
    return boards


class _Scores:
    """The images' scores of one set, and the means of its resamples, computed once."""

    def __init__(self, aligned: AlignedRuns, seed: int) -> None:
        self.title, self.labels, self._seed = aligned.title, aligned.labels, seed
        self.metrics = tuple(m for m in aligned.metrics if m.id in aligned.values and m.id != NTIRE.id)
        self._columns = {
            (label, m.id): aligned.values[m.id][label].to_numpy(dtype=float)
            for m in self.metrics
            for label in aligned.labels
        }
        finite = [key for key, column in self._columns.items() if len(column) and np.isfinite(column).all()]
        self.means: Mapping[tuple[str, str], float] = {key: float(self._columns[key].mean()) for key in finite}
        drawn = bootstrap_means(np.column_stack([self._columns[k] for k in finite]), seed=seed) if finite else None
        self._drawn = {} if drawn is None else {key: drawn[:, place] for place, key in enumerate(finite)}

    def places(self, metric: Metric) -> dict[str, Place]:
        """Return the mean of each method that has one, with its rank among them."""
        labels = [label for label in self.labels if (label, metric.id) in self.means]
        ranks, _ = self.ranks(metric, labels) if labels else ([], None)
        means = [self.means[label, metric.id] for label in labels]
        return {
            label: Place(shown(mean, metric), mean, float(rank))
            for label, mean, rank in zip(labels, means, ranks, strict=True)
        }

    def ranks(self, metric: Metric, labels: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the ranks of ``labels`` by their means, (methods,), and by each resample's, (draws, methods)."""
        sign = -1.0 if metric.direction is Direction.HIGHER else 1.0
        own = np.array([[self.means[label, metric.id] for label in labels]])
        drawn = np.column_stack([self._drawn[label, metric.id] for label in labels])
        return _ranks(sign * own)[0], _ranks(sign * drawn)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return average ranks in each row of (rows, methods); the smallest value has rank 1."""
    less = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    equal = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    return less + (equal + 1) / 2


def _in_group(metrics: Iterable[Metric], group: str) -> tuple[Metric, ...]:
    wanted = {"full": Reference.FULL, "none": Reference.NONE}.get(group)
    return tuple(m for m in metrics if group in (_EVERY, m.id) or (wanted is not None and m.reference is wanted))


def _board(scope: str, group: str, title: str, chosen: Sequence[_Scores]) -> Board:
    labels = sorted({label for own in chosen for label in own.labels})
    reasons = {label: _absent(label, group, chosen) for label in labels}
    able = [label for label in labels if not reasons[label]]
    counted = [
        tuple(m for m in _in_group(own.metrics, group) if all((label, m.id) in own.means for label in able))
        for own in chosen
    ]
    if len(able) < 2 or not all(counted):
        why = "no other method to rank it with" if len(able) < 2 else "no metric of these is common to all methods"
        reasons = {label: reason or why for label, reason in reasons.items()}
        able = []
    ranks = [_set_ranks(own, metrics, able) for own, metrics in zip(chosen, counted, strict=True)] if able else []
    places = _places(chosen, group, labels, able, [whole for whole, _ in ranks])
    standings = [
        Standing(label, None, None, None, places[label], reason) for label, reason in reasons.items() if reason
    ]
    if able:
        whole = np.mean([own for own, _ in ranks], axis=0)
        low, high = np.quantile(np.mean([drawn for _, drawn in ranks], axis=0), (0.025, 0.975), axis=0)
        ranked = [
            Standing(label, float(whole[n]), float(low[n]), float(high[n]), places[label])
            for n, label in enumerate(able)
        ]
        standings = [*sorted(ranked, key=lambda own: (own.rank or 0.0, own.method)), *standings]
    used = {metric.title for metrics in counted for metric in metrics} if able else set()
    asked = {metric.title for own in chosen for metric in _in_group(own.metrics, group)} if able else set()
    return Board(
        scope, group, title, _columns(chosen, group), tuple(sorted(used)), tuple(sorted(asked - used)), tuple(standings)
    )


def _absent(label: str, group: str, chosen: Sequence[_Scores]) -> str:
    """Say why a method is not ranked; "" where it is."""
    away = [own.title for own in chosen if label not in own.labels]
    if away:
        return f"not run on {', '.join(away)}"
    lacking = [
        own.title for own in chosen if not any((label, m.id) in own.means for m in _in_group(own.metrics, group))
    ]
    return f"no finite mean on {', '.join(lacking)}" if lacking else ""


def _set_ranks(
    own: _Scores, metrics: Sequence[Metric], labels: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean rank of each method on one set, and that of each resample: (methods,), (draws, methods)."""
    parts = [own.ranks(metric, labels) for metric in metrics]
    return np.mean([whole for whole, _ in parts], axis=0), np.mean([drawn for _, drawn in parts], axis=0)


def _shows_means(chosen: Sequence[_Scores], group: str) -> bool:
    """Whether a board's columns are means: of one set a column a metric, of one metric a column a set."""
    return len(chosen) == 1 or group not in _GROUPS


def _columns(chosen: Sequence[_Scores], group: str) -> tuple[tuple[str, bool], ...]:
    if len(chosen) == 1:
        metrics = _in_group(chosen[0].metrics, group)
        return tuple((heading(metric), metric.direction is Direction.HIGHER) for metric in metrics)
    higher = any(m.direction is Direction.HIGHER for own in chosen for m in own.metrics if m.id == group)
    return tuple((own.title, higher) for own in chosen)


def _places(
    chosen: Sequence[_Scores],
    group: str,
    labels: Sequence[str],
    able: Sequence[str],
    ranks: Sequence[NDArray[np.float64]],
) -> dict[str, tuple[Place, ...]]:
    blank = Place("–", None, None)
    columns: list[dict[str, Place]] = []
    if _shows_means(chosen, group):
        for own in chosen:
            columns += [own.places(metric) for metric in _in_group(own.metrics, group)]
    else:
        for whole in ranks:
            columns.append(
                {label: Place(f"{rank:.2f}", float(rank), None) for label, rank in zip(able, whole, strict=True)}
            )
    return {label: tuple(column.get(label, blank) for column in columns or [{}] * len(chosen)) for label in labels}
