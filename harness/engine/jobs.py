"""One image's two jobs: restore it and write the PNG, then score that PNG and estimate its LR's severity."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isrbench.harness.api.dataset import Pair
from isrbench.harness.determinism import exclusive, one_thread
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import read_rgb, to_tensor, write_png
from isrbench.harness.metrics.version import ABSENT, MetricVersion
from isrbench.harness.store.store import ImageRow, ScoreRow, Store
from isrbench.harness.store.summary import reason_of

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""``(stage, done, total)``; stage is "restore", "score" or "complexity"."""


@dataclass
class Work:
    """The state of one execution."""

    plan: Plan
    store: Store
    run: str
    folder: Path
    images: dict[str, dict[str, Any]]
    """Stored rows by image id."""
    scores: dict[tuple[str, str], dict[str, Any]]
    """Stored rows by image id and metric."""
    progress: Progress
    absent: frozenset[str] = frozenset()
    """Metrics that an earlier execution had no weights for, and that still have none."""
    keys: dict[str, str] = field(default_factory=dict)
    """What would compute each metric now (:mod:`isrbench.harness.metrics.version`)."""
    notes: list[str] = field(default_factory=list)
    """What went wrong beside the rows."""
    unestimated: set[str] = field(default_factory=set)
    """Images whose severity could not be estimated."""

    def missing(self, image: str) -> tuple[str, ...]:
        """Metrics of ``image`` that still have to be computed."""
        return tuple(m for m in self.plan.scorer.image_metrics if not self.settled(image, m))

    def settled(self, image: str, metric: str) -> bool:
        """Whether a stored row still answers: computed as it would be now, or known not to be computable yet."""
        row = self.scores.get((image, metric))
        if row is None or not _holds(row["protocol"], self.keys[metric]):
            return False
        if row["status"] == "unavailable":
            return metric in self.absent or not self.keys[metric].endswith(ABSENT)
        return row["status"] in {"ok", "no-reference"}

    def outdated(self) -> list[tuple[str, str]]:
        """(image, metric) of every stored score that another protocol gave than the one asked for now."""
        return [
            (image, metric)
            for (image, metric), row in self.scores.items()
            if metric in self.keys and not _holds(row["protocol"], self.keys[metric])
        ]

    def needs_severity(self, image: str) -> bool:
        """Whether the image has no severity by this estimator yet."""
        estimator = self.plan.estimator
        return estimator is not None and self.images.get(image, {}).get("estimator") != estimator.fingerprint()

    def png(self, image: str) -> Path:
        """Where the restored image lies."""
        return self.folder / "images" / f"{image}.png"


def _holds(stored: str | None, current: str) -> bool:
    return stored is not None and MetricVersion.from_key(stored).still_holds(MetricVersion.from_key(current))


@dataclass(frozen=True)
class Measured:
    """What was found out about one restored image."""

    image: str
    scores: list[ScoreRow]
    severity: list[float] | None
    """The seven dimensions, or None where they were not asked for or failed."""
    trouble: str = ""
    """Why the severity failed."""


def restore(work: Work, pair: Pair) -> bool:
    """Restore one image and keep it; a failure becomes a row with its traceback.

    Raises:
        OSError: If the PNG cannot be written.
    """
    plan = work.plan
    output = work.png(pair.id)
    hr = str(pair.hr) if pair.hr else None
    common = {"run": work.run, "image": pair.id, "lr": str(pair.lr), "hr": hr, "level": pair.level}
    start = time.perf_counter()
    try:
        lr = read_rgb(pair.lr)
        with exclusive(plan.device):
            pixels, trace = restore_pixels(plan.method, lr, pair.id, plan.request.seed, plan.card.scale)
        seconds = time.perf_counter() - start
    except Exception:
        error = traceback.format_exc()
        log.warning("%s failed on %s: %s", plan.plugin.info.id, pair.id, reason_of(error))
        work.store.add_image(ImageRow(**common, status="failed", error=error), None)
        return False
    write_png(output, pixels)
    row = ImageRow(
        **common,
        status="ok",
        seconds=seconds,
        output=str(output.relative_to(work.store.folder)),
        output_hash=file_hash(output),
        active_experts=trace.mean_active if trace else None,
        adapter_macs=trace.macs if trace else None,
        adapter_params=trace.params if trace else None,
    )
    work.store.add_image(row, trace)
    for metric in plan.scorer.image_metrics:
        work.scores.pop((pair.id, metric), None)
    work.images.pop(pair.id, None)
    return True


def measure(work: Work, pair: Pair) -> Measured:
    """Score one written PNG and estimate its LR's severity; runs on a pool thread, changes no shared state.

    Nothing is raised for a bad image, metric or estimator.
    """
    scorer, wanted = work.plan.scorer, work.missing(pair.id)
    try:
        scores = [
            ScoreRow(work.run, pair.id, s.metric, s.value, s.status, s.error, scorer.version(s.metric).key)
            for s in scorer.score(work.png(pair.id), pair.hr, wanted, pair.lr)
        ]
    except Exception:
        error = traceback.format_exc()
        scores = [ScoreRow(work.run, pair.id, m, None, "failed", error, scorer.version(m).key) for m in wanted]
    estimator = work.plan.estimator
    if estimator is None or not work.needs_severity(pair.id):
        return Measured(pair.id, scores, None)
    try:
        with exclusive(work.plan.device), one_thread():
            severity = estimator.load().estimate(to_tensor(read_rgb(pair.lr))[None])[0].tolist()
        return Measured(pair.id, scores, severity)
    except Exception:
        return Measured(pair.id, scores, None, traceback.format_exc())


def keep(work: Work, measured: Measured) -> None:
    """Write what :func:`measure` found; on the thread that owns the store."""
    work.store.add_scores(measured.scores)
    if measured.severity is not None and work.plan.estimator is not None:
        work.store.set_severity(work.run, measured.image, work.plan.estimator.fingerprint(), measured.severity)
    if measured.trouble:
        reason = reason_of(measured.trouble)
        log.warning("the severity of %s could not be estimated: %s", measured.image, reason)
        log.info("%s", measured.trouble)
        if not work.unestimated:
            work.notes.append(f"severity missing, first for {measured.image}: {reason}")
        work.unestimated.add(measured.image)


def restore_wanted(work: Work) -> list[Pair]:
    """Pairs that have no image yet. One whose PNG is gone or altered counts: rows and files must say the same."""
    for image, row in list(work.images.items()):
        path = work.store.folder / row["output"] if row["output"] else None
        if path is not None and (not path.is_file() or file_hash(path) != row["output_hash"]):
            log.warning("%s is gone or was altered since it was scored: restoring %s again", path, image)
            del work.images[image]
    return [pair for pair in work.plan.pairs if work.images.get(pair.id, {}).get("status") != "ok"]
