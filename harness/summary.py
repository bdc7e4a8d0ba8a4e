"""A run in one table: each metric's mean with its n and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from harness.metrics import METRICS
from harness.store import Store


@dataclass(frozen=True)
class MetricMean:
    """One metric over a run's images."""

    metric: str
    mean: float | None
    """Mean over the images that have a value; None where none has."""
    n: int
    """Images behind the mean (for a set metric: images in the set)."""
    failed: int
    """Images that have no value because something went wrong."""
    note: str
    """Why there is no value, in a few words; empty where there is one for every image."""


@dataclass(frozen=True)
class RunSummary:
    """What ``eval`` prints."""

    run: str
    method: str
    dataset: str
    images: int
    restored: int
    metrics: tuple[MetricMean, ...]
    severity: float | None
    """Mean severity of the LR images, or None without an estimator."""
    active_experts: float | None
    """Mean over images, for methods that route."""
    complexity: dict[str, Any]
    errors: tuple[tuple[str, str], ...]
    """(image, last line of the traceback) of every failed image."""


def summarise(store: Store, run: str, metrics: Sequence[str]) -> RunSummary:
    """Read a run's rows and average them; sums are exact (``fsum``), so order does not matter."""
    import json

    stored = store.rows("runs", [run])[0]
    images = store.rows("images", [run])
    scores = store.rows("scores", [run])
    failed = {row["image"]: row for row in images if row["status"] == "failed"}
    return RunSummary(
        run=run,
        method=stored["method"],
        dataset=stored["dataset"],
        images=json.loads(stored["manifest"])["dataset"]["images"],
        restored=len(images) - len(failed),
        metrics=tuple(_mean(m, [s for s in scores if s["metric"] == m], len(images), len(failed)) for m in metrics),
        severity=_average([row["severity"] for row in images]),
        active_experts=_average([row["active_experts"] for row in images]),
        complexity=json.loads(stored["complexity"]) if stored["complexity"] else {},
        errors=tuple((image, (row["error"] or "").strip().splitlines()[-1]) for image, row in failed.items()),
    )


def _mean(metric: str, rows: list[dict[str, Any]], images: int, failed_images: int) -> MetricMean:
    is_set = METRICS.get(metric).reference.value == "set"
    values = [row["value"] for row in rows if row["status"] == "ok"]
    failed = sum(row["status"] == "failed" for row in rows) + (0 if is_set else failed_images)
    note = ""
    if not values and rows:
        note = {"unavailable": "unavailable", "no-reference": "needs HR"}.get(rows[0]["status"], "failed")
    return MetricMean(metric, _average(values), images if is_set and values else len(values), failed, note)


def _average(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fsum(known) / len(known) if known else None
