"""A run in one table: each metric's mean with its n and what is missing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import fsum

from isrbench.harness.api.records import Failure, ImageStatus, RunCost, ScoreRow, ScoreStatus
from isrbench.harness.store.store import Store


@dataclass(frozen=True)
class MetricMean:
    """One metric over a run's images."""

    metric: str
    mean: float | None
    """Mean over all images; None where any has no value: a mean over a part would not be comparable."""
    n: int
    """Images that have a value (for a set metric: images in the set)."""
    failed: int
    """Images that have no value because something went wrong."""
    note: str
    """Why there is no mean, in a few words; empty where there is one."""
    image: str = ""
    """The first image that ``message`` is about; "" for the whole set and for absent weights."""
    message: str = ""
    """What went wrong first, in one line."""
    fix: str = ""
    """How to fix it, where that is known."""
    named: bool = True
    """Whether somebody asked for it by its id, not by the name of a set or by default."""


@dataclass(frozen=True)
class RunSummary:
    """A run's outcome in one value."""

    run: str
    method: str
    """What rows call the method."""
    title: str
    dataset: str
    """The dataset, with the number of images where the run is about a part: ``RealSR, 20 of 100 images``."""
    images: int
    restored: int
    metrics: tuple[MetricMean, ...]
    severity: float | None
    """Mean severity of the LR images, or None without an estimator."""
    severity_n: int
    """Images behind that mean."""
    active_experts: float | None
    """Mean over images, for methods that route."""
    cost: RunCost
    errors: tuple[tuple[str, Failure], ...]
    """(image, why) of every failed image."""
    notes: tuple[str, ...]
    """What else went wrong, a line each."""
    places: dict[str, str]
    """Where the rows, the images and the manifest lie."""


def summarise(
    store: Store, run: str, metrics: Sequence[str], notes: Sequence[str] = (), named: Collection[str] | None = None
) -> RunSummary:
    """Read a run's rows and average them; sums are exact (``fsum``), so order does not matter.

    Args:
        store: Where the run is.
        run: Its id.
        metrics: Ids, in the order to show.
        notes: What the run has to say beside its rows.
        named: Those that somebody asked for by their id; None = all.

    Raises:
        KeyError: If there is no such run.
    """
    manifest = store.manifest(run)
    images, scores = store.images(run), store.scores(run)
    failed = [row for row in images if row.status is not ImageStatus.OK]
    severities = [row.mean_severity for row in images if row.mean_severity is not None]
    mixed = len({row.estimator for row in images if row.estimator}) > 1
    sets = {id for id, metric in manifest.metrics.items() if metric.reference == "set"}
    means = (
        replace(
            _mean(m, [s for s in scores if s.metric == m], manifest.dataset.images, len(failed), m in sets),
            named=named is None or m in named,
        )
        for m in metrics
    )
    return RunSummary(
        run=run,
        method=manifest.name,
        title=manifest.title,
        dataset=manifest.dataset.label,
        images=manifest.dataset.images,
        restored=len(images) - len(failed),
        metrics=tuple(means),
        severity=_average(severities),
        severity_n=len(severities),
        active_experts=_average([row.active_experts for row in images if row.active_experts is not None]),
        cost=store.cost(run) or RunCost(),
        errors=tuple((row.image, row.failure or Failure(message="failed")) for row in failed),
        notes=(*notes, *(["severity: by more than one estimator; run again to have one"] if mixed else [])),
        places={
            "rows": str(store.file),
            "images": str(store.folder / run / "images"),
            "manifest": str(store.folder / run / "manifest.json"),
        },
    )


def _mean(metric: str, rows: list[ScoreRow], images: int, failed_images: int, of_set: bool) -> MetricMean:
    values = [row.value for row in rows if row.value is not None]
    failed = [row for row in rows if row.status is ScoreStatus.FAILED]
    unavailable = [row for row in rows if row.status is ScoreStatus.UNAVAILABLE]
    first = next(iter([*failed, *unavailable]), None)
    failure = first.failure if first else None
    whole = len(values) == (1 if of_set else images)
    lost = len(failed) + (0 if of_set else failed_images)
    return MetricMean(
        metric=metric,
        mean=_average(values) if whole else None,
        n=images if of_set and values else len(values),
        failed=lost,
        note="" if whole else _note(rows, values, images, lost),
        image=first.image if first and first.status is ScoreStatus.FAILED else "",
        message=failure.brief if failure else "",
        fix=failure.fix if failure else "",
    )


def _note(rows: list[ScoreRow], values: Sequence[float], images: int, failed: int) -> str:
    """Why there is no mean."""
    statuses = {row.status for row in rows}
    if ScoreStatus.UNAVAILABLE in statuses and not values:
        return "unavailable"
    if statuses == {ScoreStatus.NO_REFERENCE}:
        return "needs HR"
    if failed:
        return f"{failed} of {images} failed" if values else "failed"
    return f"{images - len(values)} of {images} not computed" if values else "not computed"


def _average(values: Sequence[float]) -> float | None:
    return fsum(values) / len(values) if values else None
