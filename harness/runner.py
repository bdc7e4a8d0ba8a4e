"""Runs a plan: restore image by image, score from the PNG that was written, keep every row as it comes."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.images import file_hash, read_rgb, to_pixels, to_tensor, write_png
from harness.iqa import one_thread
from harness.manifest import describe_run, invocation, now
from harness.method import Prepares
from harness.pairs import Pair
from harness.plan import Plan, Resume
from harness.restore import restore_one
from harness.store import ImageRow, ScoreRow, Store

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""``(stage, done, total)``; stage is "restore", "score" or "complexity"."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    run: str
    folder: Path
    failed: int
    """Images that failed, plus images with a failed score."""

    @property
    def exit_code(self) -> int:
        """0 all well, 1 some images failed."""
        return 1 if self.failed else 0


@dataclass
class _Work:
    """The state of one execution."""

    plan: Plan
    store: Store
    run: str
    folder: Path
    images: dict[str, dict[str, Any]]
    scores: dict[tuple[str, str], dict[str, Any]]
    progress: Progress
    absent: frozenset[str] = frozenset()
    """Metrics that an earlier execution had no weights for, and that still have none."""

    def missing(self, image: str) -> tuple[str, ...]:
        """Metrics of ``image`` that still have to be computed."""
        return tuple(m for m in self.plan.scorer.image_metrics if not self.settled(image, m))

    def settled(self, image: str, metric: str) -> bool:
        """Whether a stored row still answers: a value, no HR to compare with, or weights that are still absent."""
        row = self.scores.get((image, metric))
        if row is None:
            return False
        return row["status"] in {"ok", "no-reference"} or (row["status"] == "unavailable" and metric in self.absent)

    def needs_severity(self, image: str) -> bool:
        """Whether the image has no severity by this estimator yet."""
        estimator = self.plan.estimator
        return estimator is not None and self.images.get(image, {}).get("estimator") != estimator.fingerprint()


def execute(plan: Plan, store: Store, progress: Progress = lambda stage, done, total: None) -> Outcome:
    """Run a plan to its end, or as far as it goes; whatever is done is kept.

    Raises:
        UserError: If the disk is full, or nothing is stored under ``only-cache``.
    """
    run = _run_id(plan, store)
    images = {row["image"]: row for row in store.rows("images", [run])}
    scores = {(row["image"], row["metric"]): row for row in store.rows("scores", [run])}
    work = _Work(plan, store, run, store.folder / run, images, scores, progress)
    if any(row["status"] == "unavailable" for row in scores.values()):
        work.absent = frozenset(plan.scorer.unavailable())
    if plan.request.resume is not Resume.ONLY_CACHE:
        with _disk_full_is_clear(store.folder):
            _compute(work)
    return Outcome(run, work.folder, _failures(store, plan, run))


def _compute(work: _Work) -> None:
    plan, store = work.plan, work.store
    _forget_lost_images(work)
    todo = [p for p in plan.pairs if work.images.get(p.id, {}).get("status") != "ok"]
    unscored = [p for p in plan.pairs if p in todo or work.missing(p.id) or work.needs_severity(p.id)]
    sets = [m for m in plan.scorer.set_metrics if todo or not work.settled("", m)]
    uncounted = plan.request.complexity and not any(row["complexity"] for row in store.rows("runs", [work.run]))
    if not (todo or unscored or sets or uncounted):
        return
    manifest = _manifest(work)
    (work.folder / "images").mkdir(parents=True, exist_ok=True)
    _keep_manifest(work, manifest)
    if todo and isinstance(plan.method, Prepares):
        plan.method.prepare([(pair.id, pair.lr) for pair in todo])
    _restore_and_score(work, todo, unscored)
    for metric in sets:
        _score_set(work, metric)
    if uncounted:
        _count(work)
    manifest["invocations"][-1]["end"] = now()
    _keep_manifest(work, manifest)


def _restore_and_score(work: _Work, todo: list[Pair], unscored: list[Pair]) -> None:
    """Restore on this thread, score on the pool; this thread alone writes to the store."""
    waiting = {pair.id for pair in todo}
    pending: set[Future[_Measured]] = set()
    restored = scored = 0
    pool = ThreadPoolExecutor(work.plan.request.workers or os.cpu_count() or 1)

    def collect(room: int) -> None:
        nonlocal pending, scored
        while len(pending) > room:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                _keep_measured(work, future.result())
                scored += 1
                work.progress("score", scored, len(unscored))

    try:
        for pair in unscored:
            ok = True
            if pair.id in waiting:
                ok = _restore(work, pair)
                restored += 1
                work.progress("restore", restored, len(todo))
            if ok:
                pending.add(pool.submit(_measure, work, pair))
            else:
                scored += 1
            collect(room=2 * (os.cpu_count() or 1))
        collect(room=0)
    finally:
        pool.shutdown(cancel_futures=True)


def _restore(work: _Work, pair: Pair) -> bool:
    """Restore one image and keep it; a failure becomes a row with its traceback."""
    plan = work.plan
    output = work.folder / "images" / f"{pair.id}.png"
    common = {
        "run": work.run,
        "image": pair.id,
        "lr": str(pair.lr),
        "hr": str(pair.hr) if pair.hr else None,
        "level": pair.level,
    }
    start = time.perf_counter()
    try:
        lr = to_tensor(read_rgb(pair.lr))
        restored = restore_one(plan.method, lr, pair.id, plan.request.seed, plan.card.scale)
        pixels = to_pixels(restored.image)
        seconds = time.perf_counter() - start
    except Exception as error:
        log.warning("%s failed on %s: %s", plan.plugin.info.id, pair.id, error)
        work.store.add_image(ImageRow(**common, status="failed", error=traceback.format_exc()), None)
        return False
    write_png(output, pixels)
    row = ImageRow(
        **common,
        status="ok",
        seconds=seconds,
        output=str(output.relative_to(work.store.folder)),
        output_hash=file_hash(output),
        active_experts=restored.trace.mean_active if restored.trace else None,
    )
    work.store.add_image(row, restored.trace)
    for metric in plan.scorer.image_metrics:
        work.scores.pop((pair.id, metric), None)
    work.images.pop(pair.id, None)
    return True


@dataclass(frozen=True)
class _Measured:
    image: str
    scores: list[ScoreRow]
    severity: list[float] | None


def _measure(work: _Work, pair: Pair) -> _Measured:
    """Score one written PNG and estimate its LR's severity; runs on a pool thread, touches no shared state."""
    plan = work.plan
    png = work.folder / "images" / f"{pair.id}.png"
    metrics = work.missing(pair.id)
    scores = [
        ScoreRow(work.run, pair.id, s.metric, s.value, s.status, s.error)
        for s in plan.scorer.score(png, pair.hr, metrics)
    ]
    severity = None
    if plan.estimator is not None and work.needs_severity(pair.id):
        with one_thread():
            severity = plan.estimator.estimate(to_tensor(read_rgb(pair.lr))[None])[0].tolist()
    return _Measured(pair.id, scores, severity)


def _keep_measured(work: _Work, measured: _Measured) -> None:
    work.store.add_scores(measured.scores)
    if measured.severity is not None and work.plan.estimator is not None:
        work.store.set_severity(work.run, measured.image, work.plan.estimator.fingerprint(), measured.severity)


def _score_set(work: _Work, metric: str) -> None:
    failed = sum(row["status"] != "ok" for row in work.store.rows("images", [work.run]))
    if failed:
        reason = f"{failed} of {len(work.plan.pairs)} images failed; a set metric needs them all"
        row = ScoreRow(work.run, "", metric, None, "failed", reason)
    else:
        pngs = [work.folder / "images" / f"{pair.id}.png" for pair in work.plan.pairs]
        score = work.plan.scorer.score_set(metric, pngs, [pair.hr for pair in work.plan.pairs])
        row = ScoreRow(work.run, "", metric, score.value, score.status, score.error)
    work.store.add_scores([row])


def _count(work: _Work) -> None:
    """Count and time the method at the size of the set's first image."""
    from harness.complexity import describe

    height, width = work.plan.pairs[0].size
    work.store.set_complexity(work.run, describe(work.plan.method, height, width, work.plan.device))
    work.progress("complexity", 1, 1)


def _forget_lost_images(work: _Work) -> None:
    """An image whose PNG is gone or altered on disk counts as missing: rows and files must say the same."""
    for image, row in list(work.images.items()):
        path = work.store.folder / row["output"] if row["output"] else None
        if path is not None and (not path.is_file() or file_hash(path) != row["output_hash"]):
            log.warning("%s is gone or was altered since it was scored: restoring %s again", path, image)
            del work.images[image]


def _failures(store: Store, plan: Plan, run: str) -> int:
    images = {row["image"] for row in store.rows("images", [run]) if row["status"] == "failed"}
    wanted = {*plan.scorer.image_metrics, *plan.scorer.set_metrics}
    scores = {
        row["image"] for row in store.rows("scores", [run]) if row["status"] == "failed" and row["metric"] in wanted
    }
    return len(images | scores)


def _run_id(plan: Plan, store: Store) -> str:
    """The plan's own run; under ``never`` the first free number behind it."""
    known = set(store.run_ids())
    resume = plan.request.resume
    if resume is Resume.ONLY_CACHE and plan.run not in known:
        raise UserError(f"nothing is stored for {plan.run} in {store.folder}", "run it with --resume only-missing")
    if resume is not Resume.NEVER:
        return plan.run
    return next(c for c in (plan.run, *(f"{plan.run}-{i}" for i in range(2, len(known) + 3))) if c not in known)


def _manifest(work: _Work) -> dict[str, Any]:
    """The run's manifest with this invocation added."""
    stored = work.store.rows("runs", [work.run])
    manifest = json.loads(stored[0]["manifest"]) if stored else describe_run(work.plan, work.run)
    manifest["metrics"] = {**manifest["metrics"], **work.plan.scorer.protocols()}
    if work.plan.estimator is not None:
        manifest["estimator"] = f"{work.plan.request.estimator} ({work.plan.estimator.fingerprint()[:8]})"
    manifest["invocations"].append(invocation(list(work.plan.request.argv)))
    return manifest


def _keep_manifest(work: _Work, manifest: dict[str, Any]) -> None:
    work.store.add_run(work.run, manifest["name"], manifest["dataset"]["id"], manifest)
    path = work.folder / "manifest.json"
    path.with_suffix(".part").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".part").replace(path)


@contextmanager
def _disk_full_is_clear(folder: Path) -> Iterator[None]:
    """A full or read-only disk stops the run with one clear message; what was committed before is safe."""
    mend = "make room, then run the same command again: it goes on where it stopped"
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
            raise
        raise UserError(f"cannot write to {folder}: {error.strerror}", mend) from error
    except sqlite3.OperationalError as error:
        raise UserError(f"cannot write to {folder}: {error}", mend) from error
