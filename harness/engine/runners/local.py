"""Runners in this process: one thread that does everything, or a pipeline.

In the pipeline the calling thread does nothing but restore, image after image in the order of the jobs. Meanwhile one
thread reads the next LRs, and ``--workers`` threads encode, hash and score what was restored. A row depends on its own
image alone, so it is the same whatever is in work beside it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from isrbench.harness.api.records import Failure, ImageStatus
from isrbench.harness.engine.batches import Group, compute_group, groups
from isrbench.harness.engine.jobs import (
    Computed,
    Event,
    Job,
    Measured,
    Written,
    measure,
    png_file,
    read,
    write,
)
from isrbench.harness.engine.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AHEAD = 2
"""Batches of LRs that are read before their turn at most, and restored ones that wait for a thread at most."""


def serial(plan: Plan, run: str, home: Path, jobs: Sequence[Job]) -> Generator[Event]:
    """Restore and score one image, or batch, after the other."""
    for group in groups(plan, jobs):
        made = compute_group(plan, group, [read(plan, pair) for pair in group.pairs])
        for job in group.jobs:
            written = None
            if job.pair.id in made:
                written = write(plan, job.pair, run, png_file(home, run, job.pair.id), home, made[job.pair.id])
                yield written
            if _is_measured(job, written):
                yield _measured(plan, run, home, job)


def threads(plan: Plan, run: str, home: Path, jobs: Sequence[Job]) -> Generator[Event]:
    """Restore on the calling thread; read, write and score beside it."""
    workers = plan.request.workers or os.cpu_count() or 1
    reader, pool = ThreadPoolExecutor(1), ThreadPoolExecutor(workers)
    news: SimpleQueue[Event | Exception | None] = SimpleQueue()
    in_flight = 0

    def finish(job: Job, made: Computed | None) -> None:
        """On another thread; None in ``news`` says that the image is through."""
        written = None
        try:
            if made is not None:
                written = write(plan, job.pair, run, png_file(home, run, job.pair.id), home, made)
                news.put(written)
            if _is_measured(job, written):
                news.put(_measured(plan, run, home, job))
        except Exception as error:
            news.put(error)
        finally:
            news.put(None)

    def kept() -> Generator[Event]:
        """What was finished, where the run ends before its end; waits for what is in work."""
        pool.shutdown(cancel_futures=True)
        while not news.empty():
            if isinstance(event := news.get(), Written | Measured):
                yield event

    def arrived(room: int) -> Generator[Event]:
        """What has come by now; waits until no more than ``room`` images are in flight."""
        nonlocal in_flight
        while in_flight > room or not news.empty():
            event = news.get()
            if event is None:
                in_flight -= 1
            elif isinstance(event, Exception):  # the place takes no file: what is in work still counts
                yield from kept()
                raise event
            else:
                yield event

    try:
        coming = iter(groups(plan, jobs))
        ahead: deque[tuple[Group, list[Future[NDArray[np.uint8] | Failure]]]] = deque()
        while True:
            for group in islice(coming, _AHEAD + 1 - len(ahead)):
                ahead.append((group, [reader.submit(read, plan, pair) for pair in group.pairs]))
            if not ahead:
                break
            group, lrs = ahead.popleft()
            made = compute_group(plan, group, [lr.result() for lr in lrs])
            for job in group.jobs:
                pool.submit(finish, job, made.get(job.pair.id))
                in_flight += 1
            yield from arrived(workers + _AHEAD * plan.request.batch)
        yield from arrived(0)
    except KeyboardInterrupt:
        yield from kept()
        raise
    finally:
        reader.shutdown(cancel_futures=True)
        pool.shutdown(cancel_futures=True)


def _is_measured(job: Job, written: Written | None) -> bool:
    lost = written is not None and written.row.status is not ImageStatus.OK
    return not lost and bool(job.metrics or job.estimate)


def _measured(plan: Plan, run: str, home: Path, job: Job) -> Measured:
    return measure(plan, job.pair, run, png_file(home, run, job.pair.id), job.metrics, job.estimate)
