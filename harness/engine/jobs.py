"""One image's two jobs: restore it and write the PNG, then score that PNG and estimate its LR's severity."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.dataset import Pair
from isrbench.harness.api.method import Method, Prepares, RoutingTrace
from isrbench.harness.api.records import Failure, ImageRow, ImageStatus, ScoreRow
from isrbench.harness.determinism import exclusive
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, takes_nothing
from isrbench.harness.imaging.images import read_lr, to_tensor, write_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """What was found out about one restored image."""

    image: str
    scores: list[ScoreRow]
    severity: list[float] | None = None
    """The seven dimensions, or None where they were not asked for or failed."""
    trouble: Failure | None = None
    """Why the severity failed."""


def prepare(method: Method, name: str, images: Sequence[tuple[str, Path]]) -> None:
    """Let a method that wants it see all images before the first is restored.

    Args:
        method: Ready to run.
        name: What messages call it.
        images: (image id, LR file) of those that will be restored.

    Raises:
        UserError: If it raises anything, which says whose fault it is.
    """
    if not isinstance(method, Prepares):
        return
    try:
        method.prepare(images)
    except UserError as error:
        raise UserError(f"the method {name} cannot prepare its images: {error.message}", error.fix) from error
    except Exception as error:
        log.info("%s cannot prepare its images", name, exc_info=True)
        raise UserError(
            f"the method {name} cannot prepare its images: {Failure.of(error).brief}",
            f"isrbench --verbose eval --method {name} ... shows where; report it to whoever provides the method",
        ) from error


def restore(plan: Plan, pair: Pair, run: str, png: Path, home: Path) -> tuple[ImageRow, RoutingTrace | None]:
    """Restore one image and write its PNG; a failure becomes a row.

    Args:
        plan: What is run.
        pair: The image.
        run: The run's id.
        png: The file to write.
        home: The runs folder, which the row's path is relative to.

    Returns:
        The image's row, and its routing for methods that route.

    Raises:
        OSError: If the place takes no file at all: it is full, read-only or forbidden.
    """
    common = {"run": run, "image": pair.id, "lr": str(pair.lr), "hr": str(pair.hr) if pair.hr else None}
    common |= {"level": pair.level, "hr_hash": pair.hr_hash}
    try:
        if pair.id in plan.faults:
            raise plan.faults[pair.id]
        lr = read_lr(pair.lr, pair.lr_hash)
        with exclusive(plan.device):
            start = time.perf_counter()
            pixels, trace = restore_pixels(plan.method, lr, pair.id, plan.request.seed, plan.card.scale)
            seconds = time.perf_counter() - start
        _write(png, pixels)
        row = ImageRow(
            **common,
            status=ImageStatus.OK,
            seconds=seconds,
            output=png.relative_to(home).as_posix(),
            output_hash=file_hash(png),
            active_experts=trace.mean_active if trace else None,
            adapter_macs=trace.macs if trace else None,
            adapter_params=trace.params if trace else None,
        )
    except _NoPlaceError as error:
        raise error.cause from None
    except Exception as error:
        failure = Failure.of(error)
        log.warning("%s failed on %s: %s", plan.plugin.info.id, pair.id, failure.brief)
        return ImageRow(**common, status=ImageStatus.FAILED, failure=failure), None
    return row, trace


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
