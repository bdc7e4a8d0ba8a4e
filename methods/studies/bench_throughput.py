"""Measures evaluation: images a second of the pipeline, of its parts, and of a plain script that does them in turn.

``isrbench tools bench-throughput [--method M] [-o NAME=VALUE] [--dataset sample] [--images N] [--rounds N]
[--metrics M] [--workers N] [--device D] [--at-least SHARE]``: the set's images, repeated up to N, are restored,
written, scored and stored, into a folder that is deleted. Two bounds are printed: no pipeline is faster than its
slowest part alone, and none whose parts share the cores is faster than these allow for the processor time of all parts.
Every round measures all of it; ratios are medians of the rounds' own. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from isrbench.harness.api.options import positive, split_options
from isrbench.harness.determinism import make_deterministic, on_cpu
from isrbench.harness.engine.jobs import Computed, Job, Measured, Written, compute, measure, png_file, read, write
from isrbench.harness.engine.manifests import begin
from isrbench.harness.engine.plan import Plan, make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.engine.resume import Todo
from isrbench.harness.engine.runners.local import threads
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import read_hr, read_lr, read_rgb, write_png
from isrbench.harness.store.store import Store

log = logging.getLogger(__name__)

_RUN = "bench"
PARTS = ("read", "restore", "write", "score", "rows")
"""What becomes of an image, in this order."""


@dataclass(frozen=True)
class Part:
    """One step, done for all images while nothing else is."""

    threads: int
    """On how many threads, as the pipeline does it."""
    seconds: float
    """Wall-clock seconds an image."""
    processor: float
    """Processor seconds an image, of all threads."""


@dataclass(frozen=True)
class Seen:
    """What the bench saw; times are seconds an image."""

    images: int
    cores: int
    shared: bool
    """Whether restoring takes cores that the other parts would use: on a CPU."""
    pipeline: float
    plain: float
    parts: dict[str, Part]
    overhead: dict[str, float]
    """What evaluation adds to restoring and scoring, on one thread."""

    @property
    def slowest(self) -> float:
        """Return the time of the slowest part; ``rows`` and ``restore`` share the calling thread."""
        alone = [part.seconds for name, part in self.parts.items() if name not in {"restore", "rows"}]
        return max(*alone, self.parts["restore"].seconds + self.parts["rows"].seconds)

    @property
    def bound(self) -> float:
        """Return the least time that the parts allow."""
        work = sum(part.processor for part in self.parts.values()) / self.cores
        return max(self.slowest, work) if self.shared else self.slowest

    @property
    def share(self) -> float:
        """Return what the pipeline reaches of its bound."""
        return self.bound / self.pipeline


def throughput(request: Request, images: int, rounds: int) -> list[Seen]:
    """Measure one method on one set, round by round; see the module.

    Args:
        request: Method, set, metrics, workers; its runs folder is not used.
        images: How many, the set's own repeated.
        rounds: How often.

    Raises:
        UserError: For anything that does not fit, or an image that fails.
    """
    plan = make_plan(request)
    pairs = [replace(plan.pairs[n % len(plan.pairs)], id=f"{n:04d}") for n in range(images)]
    plan = replace(plan, pairs=tuple(pairs))
    make_deterministic(plan.device)
    if plan.estimator is not None:
        plan.estimator.load()
    workers = request.workers or os.cpu_count() or 1
    jobs = [Job(pair, True, plan.scorer.image_metrics, plan.estimator is not None) for pair in pairs]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = []
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory(prefix="isrbench-bench-") as made:
            home = Path(made)
            if not number:  # what is loaded late is loaded now
                _pipeline(plan, home / "first", jobs[: min(2, images)])
                continue
            parts, overhead = _parts(plan, home / "parts", jobs, workers)
            plain = _plain(plan, home / "plain", jobs)
            pipeline = _pipeline(plan, home / "pipeline", jobs)
        found.append(Seen(images, cores, on_cpu(plan.device), pipeline, plain, parts, overhead))
    return found


def _pipeline(plan: Plan, home: Path, jobs: Sequence[Job]) -> float:
    """Seconds an image from the first read to the last row."""
    with _begun(plan, home) as store:
        start = time.perf_counter()
        with closing(threads(plan, _RUN, home, jobs)) as events:
            _keep(store, events)
        return (time.perf_counter() - start) / len(jobs)


@contextmanager
def _begun(plan: Plan, home: Path) -> Iterator[Store]:
    """Yield a store that rows can be written to: they belong to a run."""
    (home / _RUN / "images").mkdir(parents=True, exist_ok=True)
    with Store(home) as store:
        begin(plan, store, _RUN, Todo())
        yield store


def _keep(store: Store, events: Iterable[Written | Measured]) -> None:
    for event in events:
        if isinstance(event, Measured):
            store.add_scores(event.scores)
        elif event.row.failure is not None:
            raise UserError(f"{event.row.image} fails: {event.row.failure.brief}", event.row.failure.fix)
        else:
            store.add_image(event.row, event.trace)


def _plain(plan: Plan, folder: Path, jobs: Sequence[Job]) -> float:
    """The script that people write: restore, save, read again, score; one image after the other."""
    folder.mkdir()
    start = time.perf_counter()
    for job in jobs:
        pair, png = job.pair, folder / f"{job.pair.id}.png"
        pixels, _ = restore_pixels(plan.method, read_rgb(pair.lr), pair.id, plan.request.seed, plan.card.scale)
        write_png(png, pixels)
        plan.scorer.score_pixels(read_rgb(png), None if pair.hr is None else read_rgb(pair.hr), read_rgb(pair.lr))
    return (time.perf_counter() - start) / len(jobs)


def _parts(plan: Plan, home: Path, jobs: Sequence[Job], workers: int) -> tuple[dict[str, Part], dict[str, float]]:
    """Each part for all images, and what evaluation adds on one thread."""
    lrs: dict[str, Any] = {}
    made: dict[str, Computed] = {}
    rows: list[Written | Measured] = []

    def png(job: Job) -> Path:
        return png_file(home, _RUN, job.pair.id)

    def timed(step: Callable[[Job], object], count: int) -> Part:
        wall, work = time.perf_counter(), time.process_time()
        if count == 1:
            for job in jobs:
                step(job)
        else:
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(step, jobs))
        return Part(count, (time.perf_counter() - wall) / len(jobs), (time.process_time() - work) / len(jobs))

    steps: dict[str, tuple[Callable[[Job], object], int]] = {
        "read": (lambda job: lrs.update({job.pair.id: read(plan, job.pair)}), 1),
        "restore": (lambda job: made.update({job.pair.id: compute(plan, job.pair, lrs[job.pair.id])}), 1),
        "write": (lambda job: rows.append(write(plan, job.pair, _RUN, png(job), home, made[job.pair.id])), workers),
        "score": (
            lambda job: rows.append(measure(plan, job.pair, _RUN, png(job), job.metrics, job.estimate)), workers
        ),
    }  # fmt: skip
    parts = {name: timed(step, count) for name, (step, count) in steps.items()}
    with _begun(plan, home) as store:
        wall, work = time.perf_counter(), time.process_time()
        _keep(store, rows)
        parts["rows"] = Part(1, (time.perf_counter() - wall) / len(jobs), (time.process_time() - work) / len(jobs))
    once = {
        "read the LR, check its hash": timed(lambda job: read_lr(job.pair.lr, job.pair.lr_hash), 1).seconds,
        "encode the PNG": timed(lambda job: write_png(png(job), _pixels(made[job.pair.id])), 1).seconds,
        "hash the PNG": timed(lambda job: file_hash(png(job)), 1).seconds,
        "read the PNG": timed(lambda job: read_rgb(png(job)), 1).seconds,
        "read the HR, check its hash": timed(
            lambda job: job.pair.hr and read_hr(job.pair.hr, job.pair.hr_hash, job.pair.hr_size), 1
        ).seconds,
        "write the rows": parts["rows"].seconds,
    }
    return parts, once


def _pixels(made: Computed) -> Any:
    if made.pixels is None:
        raise UserError(f"the method fails: {made.failure.brief if made.failure else ''}")
    return made.pixels


def main(argv: Sequence[str] | None = None) -> int:
    """Print rates, bounds and the overhead an image.

    Returns:
        0; 1 where the pipeline reaches less than ``--at-least`` of its bound; 2 for the user's mistake.
    """
    parser = argparse.ArgumentParser(
        prog="isrbench tools bench-throughput", description="Evaluation: the pipeline, its parts, and a plain script"
    )
    parser.add_argument("--method", default="bicubic")
    parser.add_argument("-o", "--option", action="append", default=[], help="an option of the method, NAME=VALUE")
    parser.add_argument("--dataset", default="sample")
    parser.add_argument("--images", type=int, default=48, help="the set's, repeated [default: %(default)s]")
    parser.add_argument("--rounds", type=positive, default=3, help="[default: %(default)s]")
    parser.add_argument("--metrics", default="psnr,ssim,gmsd", help="ids and sets [default: %(default)s]")
    parser.add_argument("--workers", type=int, default=None, help="threads that write and score [default: one a core]")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit with 1 below this share of the bound")
    given = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    if given.images < 2:
        parser.error("--images: at least two")
    try:
        request = Request(
            given.method, given.dataset, options=split_options(given.option), metrics=tuple(given.metrics.split(",")),
            workers=given.workers, device=given.device, estimator="none", complexity=False,
        )  # fmt: skip
        seen = throughput(request, given.images, given.rounds)
    except UserError as error:
        log.error("error: %s", error)
        return 2
    share = _report(seen)
    if share < given.at_least:
        log.error("error: %.2f of the bound is below --at-least %g", share, given.at_least)
        return 1
    return 0


def _report(rounds: Sequence[Seen]) -> float:
    """Log medians over the rounds; return what the pipeline reaches of its bound."""
    first = rounds[0]
    log.info("%d images, %d rounds, %d cores", first.images, len(rounds), first.cores)
    for name in PARTS:
        parts = [seen.parts[name] for seen in rounds]
        rate, work = 1 / median(part.seconds for part in parts), 1e3 * median(part.processor for part in parts)
        log.info(
            "%-9s alone, %2d threads %9.2f images/s %8.1f ms of processor time", name, parts[0].threads, rate, work
        )
    times = {
        "parts one after the other": [sum(part.seconds for part in seen.parts.values()) for seen in rounds],
        "plain script": [seen.plain for seen in rounds],
        "pipeline": [seen.pipeline for seen in rounds],
        "slowest part's bound": [seen.slowest for seen in rounds],
    }
    if first.shared:
        times["bound with the cores shared"] = [seen.bound for seen in rounds]
    for name, seconds in times.items():
        log.info("%-27s %9.2f images/s", name, 1 / median(seconds))
    ratios = {
        "pipeline of its bound": [seen.share for seen in rounds],
        "pipeline to plain script": [seen.plain / seen.pipeline for seen in rounds],
    }
    for name, values in ratios.items():
        log.info("%-27s %9.2f (%s)", name, median(values), ", ".join(f"{value:.2f}" for value in values))
    log.info("overhead an image, one thread, ms:")
    for name in first.overhead:
        log.info("  %-28s %7.2f", name, 1e3 * median(seen.overhead[name] for seen in rounds))
    return median(seen.share for seen in rounds)


if __name__ == "__main__":
    raise SystemExit(main())
