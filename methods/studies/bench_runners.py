"""Measures runners: jobs a second, how they grow with workers, and what a job costs this process.

``isrbench tools bench-runners [--method M] [--jobs N] [--runner ray] [--workers 1 2] [--side 16]``: N copies of the
sample set's first image, cut to ``--side`` pixels, are restored and written. With bicubic and a small side a job is
next to nothing, so what is measured is the runner; with ``--method mor --side 48`` it is what workers gain, each
computing with one thread on a CPU.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from isrbench.harness.determinism import one_thread
from isrbench.harness.engine.jobs import Job, Written
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.runners import check_runner, get_runner
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import lr_hash, read_rgb, write_png

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Throughput:
    """What was seen of one number of workers."""

    runner: str
    workers: int
    jobs: int
    timed: int
    """Number of timed jobs: the second half, by when all workers have normally started."""
    seconds: float
    """Time from the result before them to the last."""
    processor: float
    """Processor seconds of this process meanwhile, all threads: with Ray, what bounds the number of workers."""
    peaks: tuple[float, ...]
    """This process's peak memory in MiB when a tenth, half and all of the jobs were done: flat where the last hardly
    exceeds the first."""

    @property
    def rate(self) -> float:
        """Return jobs a second."""
        return self.timed / self.seconds


def throughput(method: str, runner: str, workers: int, jobs: int, side: int) -> Throughput:
    """Restore copies of an image and write them, into a folder that is deleted.

    Args:
        method: Id of the method.
        runner: One of ``RUNNERS``.
        workers: How many.
        jobs: How many copies, two at least.
        side: Of the LR image, in pixels, at most.

    Raises:
        UserError: If Ray is not installed, or the method is unknown or needs the whole set.
    """
    with tempfile.TemporaryDirectory(prefix="isrbench-bench-") as made:
        request = Request(
            method, "sample", limit=1, metrics=("psnr",), estimator="none", runner=runner, workers=workers,
            runs_dir=Path(made),
        )  # fmt: skip
        check_runner(request)
        plan = make_plan(request)
        pixels = read_rgb(plan.pairs[0].lr)[:side, :side]
        write_png(Path(made) / "lr.png", pixels)
        pair = replace(
            plan.pairs[0], lr=Path(made) / "lr.png", lr_hash=lr_hash(pixels), hr=None, hr_hash=None,
            size=(pixels.shape[0], pixels.shape[1]),
        )  # fmt: skip
        # A thousand names: the disk holds a thousand PNGs, however many jobs there are.
        todo = [Job(replace(pair, id=f"{index % 1000:03d}"), restore=True) for index in range(jobs)]
        half = jobs // 2
        marks = {max(1, jobs // 10), half, jobs}
        start, busy, done, peaks = 0.0, 0.0, 0, []
        with one_thread(), closing(get_runner(runner)(plan, "bench", Path(made), todo)) as events:
            for done, event in enumerate(events, start=1):
                assert isinstance(event, Written)  # nothing is measured
                if event.row.failure is not None:
                    raise UserError(f"{method} fails: {event.row.failure.brief}", event.row.failure.fix)
                if done == half:
                    start, busy = time.perf_counter(), time.process_time()
                if done in marks:
                    peaks.append(_peak_mib())
        seconds, processor = time.perf_counter() - start, time.process_time() - busy
        return Throughput(runner, workers, done, done - half, seconds, processor, tuple(peaks))


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line a number of workers; returns the exit code."""
    parser = argparse.ArgumentParser(prog="isrbench tools bench-runners", description=__doc__)
    parser.add_argument("--method", default="bicubic")
    parser.add_argument("--runner", default="ray", help="ray, threads or serial")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--side", type=int, default=16, help="of the LR image, in pixels, at most")
    given = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    if given.jobs < 2 or min(given.workers) < 1 or given.side < 1:
        parser.error("--jobs 2 at least, --workers and --side 1 at least")
    first = None
    names = ("runner", "workers", "jobs", "jobs/s", "ratio", "ms here", "peak MiB at 10%, 50%, 100%")
    log.info("%-8s %7s %8s %10s %8s %8s   %s", *names)
    for workers in given.workers:
        seen = throughput(given.method, given.runner, workers, given.jobs, given.side)
        first = first or seen
        peaks = ", ".join(f"{peak:.0f}" for peak in seen.peaks)
        log.info(
            "%-8s %7d %8d %10.1f %8.2f %8.2f   %s", seen.runner, workers, seen.jobs, seen.rate, seen.rate / first.rate,
            1e3 * seen.processor / seen.timed, peaks,
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
