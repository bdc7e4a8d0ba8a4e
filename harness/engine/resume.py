"""What is left to do of a run: one pure function of what is stored and what is wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from isrbench.harness.api.records import ImageRow, ImageStatus, ScoreRow, ScoreStatus
from isrbench.harness.metrics.version import ABSENT, MetricVersion


@dataclass(frozen=True)
class Stored:
    """What the store and the runs folder hold of a run."""

    images: Mapping[str, ImageRow] = field(default_factory=dict)
    scores: Mapping[tuple[str, str], ScoreRow] = field(default_factory=dict)
    """By image ("" for a metric of the whole set) and metric."""
    altered: Collection[str] = ()
    """Images whose PNG is gone or has been altered since it was scored: rows and files must say the same."""
    counted: bool = False
    """Whether the run's cost is known."""


@dataclass(frozen=True)
class Wanted:
    """What a plan asks for."""

    images: Sequence[str]
    image_metrics: Mapping[str, MetricVersion] = field(default_factory=dict)
    """By id: what would compute each now."""
    set_metrics: Mapping[str, MetricVersion] = field(default_factory=dict)
    unavailable: Collection[str] = ()
    """Metrics whose weights are known to be out of reach now."""
    estimator: str | None = None
    """Version of the severity estimator; None = no severity is wanted."""
    cost: bool = False


@dataclass(frozen=True)
class Todo:
    """What has to be computed, in the order of ``Wanted``."""

    restore: tuple[str, ...] = ()
    score: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Metrics to compute, by image; images without any are left out."""
    estimate: tuple[str, ...] = ()
    """Images that need a severity."""
    set_metrics: tuple[str, ...] = ()
    cost: bool = False
    outdated: tuple[tuple[str, str], ...] = ()
    """(image, metric) of stored scores that another version gave: they are dropped before anything is computed."""

    @property
    def measure(self) -> tuple[str, ...]:
        """Return the images to score or to estimate."""
        return tuple(dict.fromkeys([*self.score, *self.estimate]))

    def only(self, images: Set[str]) -> Todo:
        """Return the part that is about these images."""
        return replace(
            self,
            restore=tuple(id for id in self.restore if id in images),
            score={id: metrics for id, metrics in self.score.items() if id in images},
            estimate=tuple(id for id in self.estimate if id in images),
        )

    def __bool__(self) -> bool:
        return bool(self.restore or self.score or self.estimate or self.set_metrics or self.cost)


def to_do(stored: Stored, wanted: Wanted) -> Todo:
    """Return what is left to do.

    An image is restored that has no row, has failed, or whose PNG is gone or altered; whatever is wanted of it is
    measured again (:mod:`isrbench.harness.engine.rescoring` wants what was measured on it before). A score is computed
    that is missing, has failed, or that another version of the metric gave. A severity is estimated that is missing or
    that another estimator gave.
    """
    restore = [image for image in wanted.images if needs_restoring(stored, image)]
    restored = set(restore)
    score: dict[str, tuple[str, ...]] = {}
    estimate = []
    for image in wanted.images:
        again = image in restored
        metrics = [
            id for id, version in wanted.image_metrics.items()
            if again or not _settled(stored.scores.get((image, id)), version, id in wanted.unavailable)
        ]  # fmt: skip
        if metrics:
            score[image] = tuple(metrics)
        if wanted.estimator is not None and (again or stored.images[image].estimator != wanted.estimator):
            estimate.append(image)
    sets = [
        id for id, version in wanted.set_metrics.items()
        if restore or not _settled(stored.scores.get(("", id)), version, id in wanted.unavailable)
    ]  # fmt: skip
    return Todo(
        restore=tuple(restore),
        score=score,
        estimate=tuple(estimate),
        set_metrics=tuple(sets),
        cost=wanted.cost and not stored.counted,
        outdated=_outdated(stored, wanted),
    )


def needs_restoring(stored: Stored, image: str) -> bool:
    """Return whether an image has no row, has failed, or its PNG is gone or altered."""
    row = stored.images.get(image)
    return row is None or row.status is not ImageStatus.OK or image in stored.altered


def _settled(row: ScoreRow | None, current: MetricVersion, out_of_reach: bool) -> bool:
    """Whether a stored row still answers: computed as it would be now, or known not to be computable yet."""
    if row is None or not MetricVersion(row.code, row.weights).still_holds(current):
        return False
    if row.status is ScoreStatus.UNAVAILABLE:
        return out_of_reach or current.weights != ABSENT
    return row.status in {ScoreStatus.OK, ScoreStatus.NO_REFERENCE}


def _outdated(stored: Stored, wanted: Wanted) -> tuple[tuple[str, str], ...]:
    current = {**wanted.image_metrics, **wanted.set_metrics}
    return tuple(
        key
        for key, row in stored.scores.items()
        if key[1] in current and not MetricVersion(row.code, row.weights).still_holds(current[key[1]])
    )
