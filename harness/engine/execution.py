"""Carries out a plan: restore image by image, score from the PNG that was written, keep every row as it comes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from isrbench.harness.api.dataset import Pair
from isrbench.harness.api.method import PreparedInPart
from isrbench.harness.api.records import Failure, ImageRow, ImageStatus, ScoreRow, ScoreStatus
from isrbench.harness.api.steps import steps
from isrbench.harness.determinism import exclusive, make_deterministic
from isrbench.harness.engine.arguments import Progress
from isrbench.harness.engine.costing import run_cost
from isrbench.harness.engine.failures import FailureLog
from isrbench.harness.engine.hr_severities import estimate_hrs
from isrbench.harness.engine.jobs import Job, Measured, png_file
from isrbench.harness.engine.lock import only_one
from isrbench.harness.engine.manifests import begin, end, run_id, update_description
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.preparing import prepare
from isrbench.harness.engine.request import Resume
from isrbench.harness.engine.rescoring import add_stored_metrics, without_value
from isrbench.harness.engine.resume import Stored, Todo, Wanted, to_do
from isrbench.harness.engine.runners import get_runner
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, takes_nothing
from isrbench.harness.store.connection import why_unusable
from isrbench.harness.store.store import Store

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
    cost_failed: bool = False
    """Whether counting and timing the method failed by a fault of its code; that it cannot be counted is none."""


@dataclass
class _Work:
    """The state of one execution."""

    plan: Plan
    store: Store
    run: str
    progress: Progress
    notes: list[str] = field(default_factory=list)
    unestimated: set[str] = field(default_factory=set)
    """Images whose severity could not be estimated."""
    cost_failed: bool = False

    @property
    def folder(self) -> Path:
        return self.store.folder / self.run

    def png(self, image: str) -> Path:
        return png_file(self.store.folder, self.run, image)


def execute(plan: Plan, store: Store, progress: Progress = lambda stage, done, total: None) -> Outcome:
    """Carry out a plan to its end, or as far as it goes; whatever is done is kept.

    Raises:
        UserError: If the disk is full, another process works on this run or holds the store, the severity estimator
            does not load, the method cannot prepare, or nothing is stored under ``only-cache``.
    """
    work = _Work(plan, store, run_id(plan, store), progress, list(plan.notes))
    if plan.request.repeat_of:
        _check_repeat(plan, store, work.run)
    computed = False
    if plan.request.resume is not Resume.ONLY_CACHE:
        with _store_failures_are_clear(store.folder), only_one(work.folder):
            computed = _compute(work)
    store.touch(work.run)
    work.notes += plan.scorer.remarks()
    failed = _failures(work, plan.scorer.ids)
    return Outcome(work.run, work.folder, failed, computed, tuple(work.notes), work.cost_failed)


def _check_repeat(plan: Plan, store: Store, run: str) -> None:
    """Refuse to repeat what would leave tables without the method: the run itself, a repeat, or another method's run.

    Raises:
        UserError: If ``repeat_of`` is no such run.
    """
    base = plan.request.repeat_of
    known = {state.run: state for state in store.states()}
    state = known.get(base)
    if state is None:
        raise UserError(f"repeat_of names {base}, which is not a run in {store.folder}", "isrbench list runs")
    if base == run or state.repeat_of or (state.method, state.dataset) != (plan.name, plan.card.id):
        raise UserError(
            f"{run} cannot repeat {base}: a repeat is the same method and set under another seed, and of no repeat",
            "name the first run of this method and set, or leave repeat_of out",
        )


def _compute(work: _Work) -> bool:
    """Do what is left to do; return whether there was anything."""
    asked, stored = work.plan.scorer, _stored(work)
    update_description(work.plan, work.store, work.run)
    _update_places(work, stored)
    scorer, notes = add_stored_metrics(work.plan, stored)
    work.notes += notes
    plan = work.plan = replace(work.plan, scorer=scorer)
    todo = to_do(stored, _wanted(work, stored))
    if not todo:
        return estimate_hrs(work.plan, work.store, work.run, work.notes, work.progress)
    make_deterministic(plan.device)
    if plan.estimator is not None and todo.estimate:
        plan.estimator.load()
    pairs = {pair.id: pair for pair in plan.pairs}
    stopped: PreparedInPart | None = None
    if todo.restore:
        try:
            prepare(plan.method, plan.plugin.info.id, [(id, pairs[id].lr) for id in todo.restore])
        except PreparedInPart as stop:
            stopped, todo = stop, todo.only(set(stop.images) & set(todo.restore))
    (work.folder / "images").mkdir(parents=True, exist_ok=True)
    this = begin(plan, work.store, work.run, todo)
    _restore_and_measure(work, todo, pairs)
    if stopped is not None:
        raise stopped
    for metric in todo.set_metrics:
        _score_set(work, metric)
    if todo.cost:
        _count(work)
    estimate_hrs(work.plan, work.store, work.run, work.notes, work.progress)
    end(plan, work.store, work.run, this)
    if scorer is not asked:
        work.notes += without_value(work.store.scores(work.run), asked.ids, scorer.ids)
    return True


def _stored(work: _Work) -> Stored:
    images = {row.image: row for row in work.store.images(work.run)}
    scores = {(row.image, row.metric): row for row in work.store.scores(work.run)}
    altered = {id for id, row in images.items() if row.status is ImageStatus.OK and _is_altered(work.store, row)}
    return Stored(images, scores, altered, counted=work.store.cost(work.run) is not None)


def _is_altered(store: Store, row: ImageRow) -> bool:
    path = store.folder / (row.output or "")
    if path.is_file() and file_hash(path) == row.output_hash:
        return False
    log.warning("%s is gone or was altered since it was scored: restoring %s again", path, row.image)
    return True


def _wanted(work: _Work, stored: Stored) -> Wanted:
    plan, scorer = work.plan, work.plan.scorer
    metrics = set(scorer.ids)
    known = {metric for (_, metric), row in stored.scores.items() if row.status is not ScoreStatus.UNAVAILABLE}
    # Fetched before anything is computed and before the manifest says what computes it.
    unavailable = scorer.unavailable() if metrics - known else {}
    return Wanted(
        images=[pair.id for pair in plan.pairs],
        image_metrics={metric: scorer.version(metric) for metric in scorer.image_metrics},
        set_metrics={metric: scorer.version(metric) for metric in scorer.set_metrics},
        unavailable=frozenset(unavailable),
        estimator=plan.estimator.version if plan.estimator else None,
        cost=plan.request.complexity,
    )


def _update_places(work: _Work, stored: Stored) -> None:
    """Keep where a set lies now that has been moved, and corrected severity levels: neither changes a pixel."""
    places = {}
    for pair in work.plan.pairs:
        row, place = stored.images.get(pair.id), (str(pair.lr), str(pair.hr) if pair.hr else None, pair.level)
        if row is not None and (row.lr, row.hr, row.level) != place:
            places[pair.id] = place
    if places:
        work.store.set_places(work.run, places)


def _restore_and_measure(work: _Work, todo: Todo, pairs: dict[str, Pair]) -> None:
    """Have a runner do the jobs; this thread alone writes to the store."""
    plan, waiting, estimated, images = work.plan, set(todo.restore), set(todo.estimate), set(todo.measure)
    # An image that is restored without any metric or severity is in no other list.
    jobs = [
        Job(pairs[id], id in waiting, todo.score.get(id, ()), id in estimated)
        for id in (pair.id for pair in plan.pairs)
        if id in waiting or id in images
    ]
    doing = " and ".join(word for word, some in (("restoring", waiting), ("scoring", images)) if some)
    steps.info("%s %d images on %s", doing, max(len(waiting), len(images)), plan.device)
    restored = scored = 0
    failures = FailureLog(plan.plugin.info.id)
    with closing(get_runner(plan.request.runner)(plan, work.run, work.store.folder, jobs)) as events:
        for event in events:
            if isinstance(event, Measured):
                _keep(work, event)
            else:
                work.store.add_image(event.row, event.trace)
                restored += 1
                if event.row.failure is not None:
                    failures.add(event.row.image, event.row.failure)
                work.progress("restore", restored, len(waiting))
                if event.row.status is ImageStatus.OK or event.row.image not in images:
                    continue
            scored += 1
            work.progress("score", scored, len(images))
    failures.end()


def _keep(work: _Work, measured: Measured) -> None:
    """Write what was measured; on the thread that owns the store."""
    work.store.add_scores(measured.scores)
    if measured.severity is not None and work.plan.estimator is not None:
        work.store.set_severity(work.run, measured.image, work.plan.estimator.version, measured.severity)
    if measured.trouble is not None:
        log.warning("the severity of %s could not be estimated: %s", measured.image, measured.trouble.brief)
        log.info("%s", measured.trouble.traceback)
        if not work.unestimated:
            work.notes.append(f"severity missing, first for {measured.image}: {measured.trouble.brief}")
        work.unestimated.add(measured.image)


def _score_set(work: _Work, metric: str) -> None:
    scorer, pairs = work.plan.scorer, work.plan.pairs
    failed = sum(row.status is not ImageStatus.OK for row in work.store.images(work.run))
    value, status, failure = None, ScoreStatus.FAILED, None
    if failed:
        failure = Failure(message=f"{failed} of {len(pairs)} images failed; a set metric needs them all")
    else:
        if metric not in scorer.unavailable():
            steps.info("%s: comparing all %d images...", metric, len(pairs))
        restored, references = [work.png(pair.id) for pair in pairs], [pair.hr for pair in pairs]
        score = scorer.score_set(
            metric, restored, references, [pair.hr_hash for pair in pairs], [pair.hr_size for pair in pairs]
        )
        value, status, failure = score.value, score.status, score.failure
    version = scorer.version(metric)
    row = ScoreRow(
        run=work.run, image="", metric=metric, status=status, value=value, failure=failure, code=version.code,
        weights=version.weights,
    )  # fmt: skip
    work.store.add_scores([row])


def _count(work: _Work) -> None:
    """Count and time the method at the size of the set's first image; no run fails because that did not work."""
    height, width = work.plan.pairs[0].size
    try:
        with exclusive(work.plan.device):
            cost = run_cost(work.plan.method, height, width, work.plan.device)
    except Exception as error:
        log.info("complexity", exc_info=True)
        work.cost_failed = not isinstance(error, UserError)
        reason = Failure.of(error).brief
        work.notes.append(f"complexity unknown, tried again by the next run (or --no-complexity): {reason}")
        return
    work.store.set_cost(work.run, cost)
    work.progress("complexity", 1, 1)


def _failures(work: _Work, wanted: Collection[str]) -> int:
    store = work.store
    lost = {row.image for row in store.images(work.run) if row.status is not ImageStatus.OK}
    failed = {r.image for r in store.scores(work.run) if r.status is ScoreStatus.FAILED and r.metric in wanted}
    return len(lost | failed | work.unestimated)


@contextmanager
def _store_failures_are_clear(folder: Path) -> Iterator[None]:
    """A full or read-only disk or a locked store stops the run with one clear message; what was committed is safe."""
    try:
        yield
    except OSError as error:
        if not takes_nothing(error):
            raise
        raise why_unusable(folder, error) from error
