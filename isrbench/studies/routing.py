"""Does routing help? Restore a set with every image's own severity and with others, and compare pair by pair."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import index
from pathlib import Path
from typing import Any

from isrbench.harness.api.containment import contained
from isrbench.harness.api.method import MethodPlugin, Routed
from isrbench.harness.api.records import Failure
from isrbench.harness.api.registry import methods
from isrbench.harness.engine.arguments import Progress, ProgressOption, option_texts, reporting
from isrbench.harness.engine.evaluate import RunResult, evaluate
from isrbench.harness.engine.plan import Plan, make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_lr, to_tensor
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.connection import why_unusable
from isrbench.reports.strata import DEFAULT, parse_rule
from isrbench.studies.arms import OPTIONS, Arm, Vectors, make_arms
from isrbench.studies.page import write_study
from isrbench.studies.result import RoutingStudy, conclude

log = logging.getLogger(__name__)


def study_routing(
    method: str,
    dataset: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    metrics: Sequence[str] | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    device: str = "auto",
    estimator: str = "tiny",
    strata: str | None = None,
    runs_dir: str | Path = "runs",
    name: str | None = None,
    workers: int | None = None,
    data_root: str | Path | None = None,
    progress: ProgressOption = None,
) -> RoutingStudy:
    """Measure what routing by an image's severity gains: the same method, given severities that are not the image's.

    The arms are runs as :func:`isrbench.evaluate` makes them: stored, resumed and identified like any other, under
    names such as ``mor-constant-severity``. ``own`` is the method as usual; if its run is stored already, it is reused.

    Args:
        method: A method that routes and is :class:`isrbench.harness.api.method.Routed`.
        dataset: As for ``evaluate``, like everything that is not named here.
        options: Options of every arm.
        metrics: As for ``evaluate``; a metric of whole sets (FID) has no paired differences.
        limit: Only so many images, drawn evenly over the set.
        sample: Only so many images, drawn by the seed.
        seed: Also decides which other image's severity an image is given.
        device: ``auto``, or a torch device.
        estimator: Estimates the severities that group the images; the method routes by its own.
        strata: How images are grouped; None = by level where every image has one, else in thirds of severity.
        runs_dir: Where runs are kept; the study's own files go to ``study-routing-NAME-DATASET`` in it.
        name: What tables call the method; other arms add their own words to it.
        workers: Threads that score.
        data_root: The set's own folder, or one above it.
        progress: Counts over all arms.

    Returns:
        The study. A failed image does not raise: ``failed`` counts them, and means that lack one are blank.

    Raises:
        UserError: If the method cannot be studied like this, or for anything that ``evaluate`` raises it for.
    """
    own = option_texts(options)
    request = Request(
        method=method, dataset=str(dataset), options=own, metrics=None if metrics is None else tuple(metrics),
        limit=limit, sample=sample, seed=seed, device=device, estimator=estimator, runs_dir=Path(runs_dir), name=name,
        workers=workers, data_root=None if data_root is None else Path(data_root), complexity=False,
    )  # fmt: skip
    offered = _offered(methods().get(method), own)
    if strata is not None:
        parse_rule(strata)  # a mistyped rule is found before an hour of runs
    subject = _look_at(request)
    with _writing_to(subject.folder):
        subject.folder.mkdir(parents=True, exist_ok=True)
        arms = make_arms(subject.vectors, offered, subject.counts, seed, subject.folder)
    with reporting(progress) as tell:
        runs = _run(arms, request, subject, tell)
    study = conclude(subject.title, subject.folder, arms, runs, strata or subject.strata)
    with _writing_to(subject.folder):
        write_study(study)
    return study


@dataclass(frozen=True)
class _Subject:
    """What is known of a method and a set before the first arm; the method itself is not kept: each arm builds it."""

    name: str
    title: str
    folder: Path
    vectors: Vectors
    counts: tuple[int, ...]
    strata: str


def _offered(plugin: MethodPlugin, given: Mapping[str, str]) -> tuple[str, ...]:
    """Return which of :data:`OPTIONS` a method has.

    Raises:
        UserError: If it does not route, has none of them, or one of them is set.
    """
    id = plugin.info.id
    if not plugin.info.routes:
        routed = [name for name, other in methods().load_all()[0].items() if other.info.routes]
        raise UserError(
            f"method {id} does not route", f"choose one that does: {', '.join(routed) or 'none is installed'}"
        )
    offered = tuple(name for name in OPTIONS if name in {field.name for field in fields(plugin.options)})
    if not offered:
        raise UserError(
            f"method {id} has none of the options {', '.join(OPTIONS)} that the study sets",
            "add them to the method, as isrbench.harness.api.method.Routed describes",
        )
    for name in offered:
        if name in given:
            raise UserError(f"option {name} is given, but the study sets it itself", f"leave out -o {name}=")
    return offered


def _look_at(request: Request) -> _Subject:
    """Check a request, and ask the method what routes each image.

    Raises:
        UserError: If the method does not say, there are fewer than two images, or one cannot be read.
    """
    plan = make_plan(request)
    method, count = plan.method, len(plan.pairs)
    if not isinstance(method, Routed):
        raise UserError(
            f"method {request.method} does not say what routes an image",
            "add severity() and active_counts() to it, as isrbench.harness.api.method.Routed describes",
        )
    if count < 2:
        raise UserError(f"{count} image of {plan.card.id} has no other to take a severity from", "study two or more")
    vectors, counts = _asked(plan, method)
    # A part of a set has a folder of its own, so that a quick look replaces no study of the whole.
    part = "" if count == len(plan.whole) else f"-{count}-of-{len(plan.whole)}"
    return _Subject(
        name=plan.name,
        title=plan.title,
        folder=request.runs_dir.resolve() / f"study-routing-{plan.name}-{plan.card.id}{part}",
        vectors=vectors,
        counts=counts,
        strata="level" if all(pair.level is not None for pair in plan.pairs) else DEFAULT,
    )


def _asked(plan: Plan, method: Routed) -> tuple[Vectors, tuple[int, ...]]:
    """Return the severity that routes each image, and the numbers of experts that can be active.

    Raises:
        UserError: If an image cannot be read, or the method's code fails or gives something else.
    """
    try:
        with contained():
            vectors = {}
            for pair in plan.pairs:
                given = method.severity(to_tensor(read_lr(pair.lr, pair.lr_hash)), image=pair.id)
                vectors[pair.id] = [float(value) for value in given]
                if len(vectors[pair.id]) != len(DIMENSIONS) or not all(0 <= value <= 1 for value in vectors[pair.id]):
                    raise ValueError(f"severity of {pair.id} is {given}, not ({len(DIMENSIONS)},) in [0, 1]")
            return vectors, tuple(map(index, method.active_counts()))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the method {plan.plugin.info.id} does not say what routes an image: {Failure.of(error).brief}",
            f"isrbench check method {plan.plugin.info.id}",
        ) from error


def _run(arms: Sequence[Arm], request: Request, subject: _Subject, tell: Progress) -> dict[str, RunResult]:
    """Run one arm after the other; return their runs by arm."""
    runs = {}
    for place, arm in enumerate(arms):
        log.info("arm %d of %d: %s", place + 1, len(arms), arm.words)
        runs[arm.id] = evaluate(
            request.method, request.dataset, options={**request.options, **arm.options}, metrics=request.metrics,
            limit=request.limit, sample=request.sample, seed=request.seed, device=request.device,
            estimator=request.estimator, runs_dir=request.runs_dir, workers=request.workers, complexity=False,
            name=f"{subject.name}-{arm.suffix}" if arm.suffix else request.name, data_root=request.data_root,
            progress=_counting(tell, place, len(arms), len(subject.vectors)),
        )  # fmt: skip
    return runs


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Turn a disk that is full or cannot be written into one clear message."""
    try:
        yield
    except OSError as error:
        raise why_unusable(folder, error) from error


def _counting(tell: Progress, place: int, arms: int, images: int) -> Progress:
    """Report one arm's progress as that of all arms; what an arm had stored already counts as done."""
    return lambda stage, done, total: tell(stage, place * images + images - total + done, arms * images)
