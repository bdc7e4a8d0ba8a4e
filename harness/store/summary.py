"""A run in one table: each metric's mean with its n and what is missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from isrbench.harness.api.metric import Reference
from isrbench.harness.api.registry import metrics
from isrbench.harness.store.store import Store


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
    image: str = ""
    """The first image that ``reason`` is about; "" for the whole set and for absent weights."""
    reason: str = ""
    """What went wrong first, in one line."""
    fix: str = ""
    """The line that fixes it, where one is known."""


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
    severity_n: int
    """Images behind that mean."""
    active_experts: float | None
    """Mean over images, for methods that route."""
    complexity: dict[str, Any]
    errors: tuple[tuple[str, str], ...]
    """(image, reason in one line) of every failed image."""
    notes: tuple[str, ...]
    """What else went wrong, a line each."""
    places: dict[str, str]
    """Where the rows, the images and the manifest lie."""


def summarise(store: Store, run: str, metrics: Sequence[str], notes: Sequence[str] = ()) -> RunSummary:
    """Read a run's rows and average them; sums are exact (``fsum``), so order does not matter.

    Args:
        store: Where the run is.
        run: Its id.
        metrics: Ids, in the order to show.
        notes: What the run has to say beside its rows.
    """
    stored = store.rows("runs", [run])[0]
    images = store.rows("images", [run])
    scores = store.rows("scores", [run])
    failed = [row for row in images if row["status"] == "failed"]
    severities = [row["severity"] for row in images if row["severity"] is not None]
    estimators = {row["estimator"] for row in images if row["estimator"]}
    mixed = ["severity: by more than one estimator; run again to have one"] if len(estimators) > 1 else []
    return RunSummary(
        run=run,
        method=stored["method"],
        dataset=stored["dataset"],
        images=json.loads(stored["manifest"])["dataset"]["images"],
        restored=len(images) - len(failed),
        metrics=tuple(_mean(m, [s for s in scores if s["metric"] == m], len(images), len(failed)) for m in metrics),
        severity=_average(severities),
        severity_n=len(severities),
        active_experts=_average([row["active_experts"] for row in images]),
        complexity=json.loads(stored["complexity"]) if stored["complexity"] else {},
        errors=tuple((row["image"], reason_of(row["error"] or "")) for row in failed),
        notes=(*notes, *mixed),
        places={
            "rows": str(store.file),
            "images": str(store.folder / run / "images"),
            "manifest": str(store.folder / run / "manifest.json"),
        },
    )


def reason_of(error: str) -> str:
    """The first line of what an error says: of a traceback, the exception's own message.

    Args:
        error: A traceback, or a message of one or more lines.

    Returns:
        Such as ``RuntimeError: out of memory``; of a ``UserError`` the message alone.
    """
    lines = error.strip().splitlines() or [""]
    frames = [index for index, line in enumerate(lines) if line.startswith("  File ")]
    after = lines[frames[-1] + 1 :] if frames else lines
    # Behind the last frame come its source line and marks, indented, and then the exception.
    said = next((line for line in after if not line.startswith("    ")), lines[-1])
    kind, colon, message = said.partition(": ")
    return message if colon and kind.rpartition(".")[2] in {"UserError", "WeightsUnavailable"} else said


def _mean(metric: str, rows: list[dict[str, Any]], images: int, failed_images: int) -> MetricMean:
    is_set = metrics().get(metric).reference is Reference.SET
    values = [row["value"] for row in rows if row["status"] == "ok"]
    failed = [row for row in rows if row["status"] == "failed"]
    worst = next((row for row in (*failed, *rows) if row["status"] in {"failed", "unavailable"}), None)
    said = worst["error"] or "" if worst else ""
    return MetricMean(
        metric=metric,
        mean=_average(values),
        n=images if is_set and values else len(values),
        failed=len(failed) + (0 if is_set else failed_images),
        note=_note(rows, values, 1 if is_set else images - failed_images),
        image=worst["image"] if worst and worst["status"] == "failed" else "",
        reason=reason_of(said),
        fix=said.partition("\n  fix: ")[2].splitlines()[0] if "\n  fix: " in said else "",
    )


def _note(rows: list[dict[str, Any]], values: Sequence[float], wanted: int) -> str:
    if not rows:
        return "not computed"
    if not values:
        return {"unavailable": "unavailable", "no-reference": "needs HR"}.get(rows[0]["status"], "failed")
    return f"{wanted - len(rows)} not computed" if len(rows) < wanted else ""


def _average(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fsum(known) / len(known) if known else None
