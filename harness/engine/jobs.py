"""One image's two jobs: restore it and write the PNG, then score that PNG and estimate its LR's severity."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.dataset import Pair
from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.api.records import Failure, ImageRow, ImageStatus, ScoreRow, ScoreStatus
from isrbench.harness.engine.memory import NoRoomError, is_out_of_memory, no_room, release, restore_in_tiles
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.preparing import folder_kept
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.engine.streams import stream_beside
from isrbench.harness.files import file_hash, takes_nothing
from isrbench.harness.imaging.images import read_lr, to_tensor, write_png
from isrbench.harness.imaging.writing import check_pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is to be done for one image."""

    pair: Pair
    restore: bool
    """False where its PNG is there already."""
    metrics: tuple[str, ...] = ()
    """Those of one image that are to be computed."""
    estimate: bool = False
    """Whether the severity of its LR is wanted."""


@dataclass(frozen=True)
class Written:
    """What became of one image that was to be restored: its PNG lies in the run's folder, or the row says why not."""

    row: ImageRow
    trace: RoutingTrace | None = None


@dataclass(frozen=True)
class Measured:
    """What was found out about one restored image."""

    image: str
    scores: list[ScoreRow]
    severity: list[float] | None = None
    """The seven dimensions, or None where they were not asked for or failed."""
    trouble: Failure | None = None
    """Why the severity failed."""


Event = Written | Measured
"""What a runner gives back."""


def png_file(home: Path, run: str, image: str) -> Path:
    """Return where an image of a run is written, below the runs folder ``home``."""
    return home / run / "images" / f"{image}.png"


@dataclass(frozen=True)
class Computed:
    """What a method made of one image, before it is written."""

    pixels: NDArray[np.uint8] | None
    """uint8 (H, W, 3); None where it failed."""
    trace: RoutingTrace | None = None
    seconds: float | None = None
    """Of the method's ``restore`` alone."""
    failure: Failure | None = None
    """Why there are no pixels; None where there are."""
    status: ImageStatus = ImageStatus.FAILED
    """Of an image without pixels."""
    tiles: int | None = None
    """See :class:`isrbench.harness.api.records.ImageRow`."""


def restore(plan: Plan, pair: Pair, run: str, png: Path, home: Path) -> Written:
    """Restore one image and write its PNG, one step after the other; a failure becomes a row.

    Args:
        plan: What is run.
        pair: The image.
        run: The run's id.
        png: The file to write.
        home: The runs folder, which the row's path is relative to.

    Raises:
        OSError: If the place takes no file at all: it is full, read-only or forbidden.
    """
    return write(plan, pair, run, png, home, compute(plan, pair, read(plan, pair)))


def read(plan: Plan, pair: Pair) -> NDArray[np.uint8] | Failure:
    """Read the LR of one image, on any thread: uint8 (H, W, 3), or why it cannot be restored."""
    try:
        if pair.id in plan.faults:
            raise plan.faults[pair.id]
        lr = read_lr(pair.lr, pair.lr_hash)
        check_pixels(pair.id, *(side * plan.card.scale for side in lr.shape[:2]))
        return lr
    except Exception as error:
        return Failure.of(error)


def compute(plan: Plan, pair: Pair, lr: NDArray[np.uint8] | Failure) -> Computed:
    """Run the method on one image; all images of a run on one thread. Nothing is raised for a bad image or method.

    Args:
        plan: What is run.
        pair: The image.
        lr: What :func:`read` returned.
    """
    if isinstance(lr, Failure):
        return Computed(None, failure=lr)
    try:
        with folder_kept():
            start = time.perf_counter()
            pixels, trace = restore_pixels(plan.method, lr, pair.id, plan.request.seed, plan.card.scale)
            return Computed(pixels, trace, time.perf_counter() - start)
    except Exception as error:
        failure, short = Failure.of(error), is_out_of_memory(error)
    return without_room(plan, pair, lr, failure) if short else Computed(None, failure=failure)


def without_room(plan: Plan, pair: Pair, lr: NDArray[np.uint8], failure: Failure) -> Computed:
    """What becomes of an image that did not fit into memory; the next ones find what it has taken given back."""
    release(plan.device)
    if plan.request.on_oom == "skip":
        failure = Failure.of(no_room(plan, lr, failure.brief))
        return Computed(None, failure=failure, status=ImageStatus.OOM)
    try:
        start = time.perf_counter()
        pixels, tiles = restore_in_tiles(plan, lr, pair.id)
        return Computed(pixels, None, time.perf_counter() - start, tiles=tiles)
    except Exception as error:
        status = ImageStatus.OOM if isinstance(error, NoRoomError) else ImageStatus.FAILED
        failure = Failure.of(error)
    release(plan.device)
    return Computed(None, failure=failure, status=status)


def write(plan: Plan, pair: Pair, run: str, png: Path, home: Path, made: Computed) -> Written:
    """Write what was computed as a PNG, on any thread; a failure becomes a row.

    Args:
        plan: What is run.
        pair: The image.
        run: The run's id.
        png: The file to write.
        home: The runs folder, which the row's path is relative to.
        made: What :func:`compute` returned.

    Raises:
        OSError: If the place takes no file at all: it is full, read-only or forbidden.
    """
    common, trace, failure, status = _of_pair(pair, run), made.trace, made.failure, made.status
    if made.pixels is not None:
        try:
            _write(png, made.pixels)
            row = ImageRow(
                **common,
                status=ImageStatus.OK,
                seconds=made.seconds,
                output=png.relative_to(home).as_posix(),
                output_hash=file_hash(png),
                active_experts=trace.mean_active if trace else None,
                adapter_macs=trace.macs if trace else None,
                adapter_params=trace.params if trace else None,
                tiles=made.tiles,
            )
            return Written(row, trace)
        except _NoPlaceError as error:
            raise error.cause from None
        except Exception as error:
            failure, status = Failure.of(error), ImageStatus.FAILED
    assert failure is not None
    return Written(ImageRow(**common, status=status, failure=failure))


def lost(job: Job, failure: Failure, status: ImageStatus = ImageStatus.FAILED) -> Event:
    """Return what becomes of a job that could not be done: a failed image, or failed scores of one that is there."""
    pair = job.pair
    if job.restore:
        return Written(ImageRow(**_of_pair(pair, ""), status=status, failure=failure))
    scores = [
        ScoreRow(run="", image=pair.id, metric=metric, status=ScoreStatus.FAILED, failure=failure)
        for metric in job.metrics
    ]
    return Measured(pair.id, scores, trouble=failure if job.estimate else None)


def _of_pair(pair: Pair, run: str) -> dict[str, Any]:
    """The columns of an image's row that do not depend on how it went."""
    return {
        "run": run, "image": pair.id, "lr": str(pair.lr), "hr": str(pair.hr) if pair.hr else None, "level": pair.level,
        "hr_hash": pair.hr_hash,
    }  # fmt: skip


class _NoPlaceError(Exception):
    """The runs folder takes no file; told apart from an OSError that a method raises, which fails one image."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause)
        self.cause = cause


def _write(png: Path, pixels: NDArray[np.uint8]) -> None:
    try:
        png.parent.mkdir(parents=True, exist_ok=True)  # an id such as 001/0 has a folder
        write_png(png, pixels)
    except OSError as error:
        if takes_nothing(error):
            raise _NoPlaceError(error) from error
        raise


def measure(plan: Plan, pair: Pair, run: str, png: Path, metrics: Sequence[str], estimate: bool) -> Measured:
    """Score one written PNG and estimate its LR's severity; runs on any thread, changes no shared state.

    Nothing is raised for a bad image, metric or estimator.

    Args:
        plan: What is run.
        pair: The image.
        run: The run's id.
        png: The restored image.
        metrics: Which to compute.
        estimate: Whether a severity is wanted.
    """
    with stream_beside(plan.device):
        return _measure(plan, pair, run, png, metrics, estimate)


def _measure(plan: Plan, pair: Pair, run: str, png: Path, metrics: Sequence[str], estimate: bool) -> Measured:
    scorer = plan.scorer
    scores = []
    for score in scorer.score(
        png, pair.hr, metrics, pair.lr, hr_hash=pair.hr_hash, lr_hash=pair.lr_hash, hr_size=pair.hr_size
    ):
        version = scorer.version(score.metric)
        scores.append(
            ScoreRow(
                run=run, image=pair.id, metric=score.metric, status=score.status, value=score.value,
                failure=score.failure, code=version.code, weights=version.weights,
            )
        )  # fmt: skip
    if not estimate or plan.estimator is None:
        return Measured(pair.id, scores)
    try:
        lr = to_tensor(read_lr(pair.lr, pair.lr_hash))
        return Measured(pair.id, scores, plan.estimator.estimate(lr[None])[0].tolist())
    except Exception as error:
        return Measured(pair.id, scores, trouble=Failure.of(error))
