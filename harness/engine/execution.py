"""Runs a plan: restore image by image, score from the PNG that was written, keep every row as it comes."""

from __future__ import annotations

import errno
import json
import logging
import os
import sqlite3
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isrbench.harness.api.dataset import Pair
from isrbench.harness.api.method import Prepares
from isrbench.harness.determinism import exclusive, make_deterministic
from isrbench.harness.engine.jobs import Measured, Progress, Work, keep, measure, restore, restore_wanted
from isrbench.harness.engine.plan import Plan, Resume
from isrbench.harness.engine.provenance import describe_run, invocation, merged_definitions
from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing
from isrbench.harness.store.schema import cannot_write
from isrbench.harness.store.store import ScoreRow, Store, now
from isrbench.harness.store.summary import reason_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    run: str
    folder: Path
    failed: int
    """Images that failed, or have a failed score or no severity."""
    computed: bool
    """Whether anything was left to compute."""
    notes: tuple[str, ...] = ()
    """What went wrong beside the rows, a line each."""

    @property
    def exit_code(self) -> int:
        """0 all well, 1 some images failed."""
        return 1 if self.failed else 0


@dataclass(frozen=True)
class _Todo:
    """What an execution has to do."""

    restore: list[Pair]
    measure: list[Pair]
    """Those above, and those that lack a score or a severity."""
    sets: list[str]
    count: bool
    """Whether complexity is asked for and not known."""

    def __bool__(self) -> bool:
        return bool(self.restore or self.measure or self.sets or self.count)


def execute(plan: Plan, store: Store, progress: Progress = lambda stage, done, total: None) -> Outcome:
    """Run a plan to its end, or as far as it goes; whatever is done is kept.

    Raises:
        UserError: If the disk is full, another process holds the store, the severity estimator does not load, or
            nothing is stored under ``only-cache``.
    """
    run = _run_id(plan, store)
    images = {row["image"]: row for row in store.rows("images", [run])}
    scores = {(row["image"], row["metric"]): row for row in store.rows("scores", [run])}
    work = Work(plan, store, run, store.folder / run, images, scores, progress)
    computed = False
    if plan.request.resume is not Resume.ONLY_CACHE:
        with _store_failures_are_clear(store.folder):
            computed = _compute(work)
    store.touch(run)
    return Outcome(run, work.folder, _failures(work), computed, tuple(work.notes))


def _compute(work: Work) -> bool:
    """Do what is left to do; whether there was anything."""
    plan, store = work.plan, work.store
    metrics = (*plan.scorer.image_metrics, *plan.scorer.set_metrics)
    if set(metrics) - {m for (_, m), row in work.scores.items() if row["status"] != "unavailable"}:
        # Fetched before anything is computed and before the manifest says what computes it.
        work.absent = frozenset(plan.scorer.unavailable())
    work.keys = {metric: plan.scorer.version(metric).key for metric in metrics}
    todo = _todo(work)
    if not todo:
        return False
    make_deterministic(plan.device)
    if plan.estimator is not None and any(work.needs_severity(pair.id) for pair in todo.measure):
        plan.estimator.load()
    (work.folder / "images").mkdir(parents=True, exist_ok=True)
    manifest = _begin(work)
    if todo.restore and isinstance(plan.method, Prepares):
        plan.method.prepare([(pair.id, pair.lr) for pair in todo.restore])
    _restore_and_measure(work, todo)
    for metric in todo.sets:
        _score_set(work, metric)
    if todo.count:
        _count(work)
    # Weights may have been fetched since the run began.
    manifest["metrics"] = merged_definitions(manifest["metrics"], plan.scorer.definitions())
    manifest["invocations"][-1]["end"] = now()
    with store.transaction():
        _keep_manifest(work, manifest)
    return True


def _todo(work: Work) -> _Todo:
    plan = work.plan
    lost = restore_wanted(work)
    ids = {pair.id for pair in lost}
    unmeasured = [p for p in plan.pairs if p.id in ids or work.missing(p.id) or work.needs_severity(p.id)]
    sets = [m for m in plan.scorer.set_metrics if lost or not work.settled("", m)]
    counted = any(row["complexity"] for row in work.store.rows("runs", [work.run]))
    return _Todo(lost, unmeasured, sets, plan.request.complexity and not counted)


def _restore_and_measure(work: Work, todo: _Todo) -> None:
    """Restore on this thread, score on the pool; this thread exclusive writes to the store."""
    waiting = {pair.id for pair in todo.restore}
    pending: set[Future[Measured]] = set()
    restored = scored = 0
    pool = ThreadPoolExecutor(work.plan.request.workers or os.cpu_count() or 1)

    def collect(room: int) -> None:
        nonlocal pending, scored
        while len(pending) > room:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                keep(work, future.result())
                scored += 1
                work.progress("score", scored, len(todo.measure))

    try:
        for pair in todo.measure:
            ok = True
            if pair.id in waiting:
                ok = restore(work, pair)
                restored += 1
                work.progress("restore", restored, len(todo.restore))
            if ok:
                pending.add(pool.submit(measure, work, pair))
            else:
                scored += 1
            collect(room=2 * (os.cpu_count() or 1))
        collect(room=0)
    finally:
        pool.shutdown(cancel_futures=True)


def _score_set(work: Work, metric: str) -> None:
    failed = sum(row["status"] != "ok" for row in work.store.rows("images", [work.run]))
    scorer, pairs = work.plan.scorer, work.plan.pairs
    if failed:
        reason = f"{failed} of {len(pairs)} images failed; a set metric needs them all"
        row = ScoreRow(work.run, "", metric, None, "failed", reason, scorer.version(metric).key)
    else:
        score = scorer.score_set(metric, [work.png(pair.id) for pair in pairs], [pair.hr for pair in pairs])
        row = ScoreRow(work.run, "", metric, score.value, score.status, score.error, scorer.version(metric).key)
    work.store.add_scores([row])


def _count(work: Work) -> None:
    """Count and time the method at the size of the set's first image; no run fails because that did not work."""
    from isrbench.harness.complexity import describe

    height, width = work.plan.pairs[0].size
    try:
        with exclusive(work.plan.device):
            cost = describe(work.plan.method, height, width, work.plan.device)
    except Exception:
        reason = reason_of(traceback.format_exc())
        log.info("complexity", exc_info=True)
        work.notes.append(f"complexity unknown, tried again by the next run (or --no-complexity): {reason}")
        return
    work.store.set_complexity(work.run, cost)
    work.progress("complexity", 1, 1)


def _failures(work: Work) -> int:
    store, scorer = work.store, work.plan.scorer
    images = {row["image"] for row in store.rows("images", [work.run]) if row["status"] == "failed"}
    wanted = {*scorer.image_metrics, *scorer.set_metrics}
    failed = [row for row in store.rows("scores", [work.run]) if row["status"] == "failed" and row["metric"] in wanted]
    return len(images | {row["image"] for row in failed} | work.unestimated)


def _run_id(plan: Plan, store: Store) -> str:
    """The plan's own run; under ``never`` the first free number behind it."""
    known = set(store.run_ids())
    resume = plan.request.resume
    if resume is Resume.ONLY_CACHE and plan.run not in known:
        raise UserError(f"nothing is stored for {plan.run} in {store.folder}", "run it with --resume only-missing")
    if resume is not Resume.NEVER:
        return plan.run
    return next(c for c in (plan.run, *(f"{plan.run}-{i}" for i in range(2, len(known) + 3))) if c not in known)


def _begin(work: Work) -> dict[str, Any]:
    """Keep the manifest with this invocation added, and drop in the same breath what it no longer describes."""
    plan, stored = work.plan, work.store.rows("runs", [work.run])
    manifest = json.loads(stored[0]["manifest"]) if stored else describe_run(plan, work.run)
    manifest["metrics"] = merged_definitions(manifest["metrics"], plan.scorer.definitions())
    mark = plan.estimator.fingerprint() if plan.estimator else None
    if mark is not None:
        manifest["estimator"] = f"{plan.request.estimator} ({mark[:8]})"
    manifest["invocations"].append(invocation(list(plan.request.argv)))
    with work.store.transaction():
        _keep_manifest(work, manifest)
        work.store.forget(work.run, work.outdated(), mark)
    return manifest


def _keep_manifest(work: Work, manifest: dict[str, Any]) -> None:
    work.store.add_run(work.run, manifest["name"], manifest["dataset"]["id"], manifest)
    path = work.folder / "manifest.json"
    with replacing(path) as partial:
        partial.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _store_failures_are_clear(folder: Path) -> Iterator[None]:
    """A full or read-only disk or a locked store stops the run with one clear message; what was committed is safe."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
            raise
        raise cannot_write(folder, error) from error
    except sqlite3.OperationalError as error:
        raise cannot_write(folder, error) from error
