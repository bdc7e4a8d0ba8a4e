"""Runners in this process: one thread that does everything, or one that restores and several that score."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from isrbench.harness.api.records import ImageStatus
from isrbench.harness.engine.jobs import Event, Job, Measured, Written, measure, png_file, restore
from isrbench.harness.engine.plan import Plan

_QUEUE = 2
"""Restored images that wait for each scoring thread at most."""


def serial(plan: Plan, run: str, home: Path, jobs: Sequence[Job]) -> Generator[Event]:
    """Restore and score one image after the other."""
    for job in jobs:
        written = _restored(plan, run, home, job)
        if written is not None:
            yield written
        if _is_measured(job, written):
            yield _measured(plan, run, home, job)


def threads(plan: Plan, run: str, home: Path, jobs: Sequence[Job]) -> Generator[Event]:
    """Restore on the calling thread, score on ``--workers`` others."""
    workers = plan.request.workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    pending: set[Future[Measured]] = set()

    def collect(room: int) -> Generator[Event]:
        nonlocal pending
        while len(pending) > room:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    try:
        for job in jobs:
            written = _restored(plan, run, home, job)
            if written is not None:
                yield written
            if _is_measured(job, written):
                pending.add(pool.submit(_measured, plan, run, home, job))
            yield from collect(room=_QUEUE * workers)
        yield from collect(room=0)
    finally:
        pool.shutdown(cancel_futures=True)


def _restored(plan: Plan, run: str, home: Path, job: Job) -> Written | None:
    return Written(*restore(plan, job.pair, run, png_file(home, run, job.pair.id), home)) if job.restore else None


def _is_measured(job: Job, written: Written | None) -> bool:
    lost = written is not None and written.row.status is not ImageStatus.OK
    return not lost and bool(job.metrics or job.estimate)


def _measured(plan: Plan, run: str, home: Path, job: Job) -> Measured:
    return measure(plan, job.pair, run, png_file(home, run, job.pair.id), job.metrics, job.estimate)
