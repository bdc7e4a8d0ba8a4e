"""From what is asked to stored rows and back: :func:`evaluate` runs, :func:`load_runs` reads what was run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.engine.arguments import ProgressOption, option_texts, reporting
from isrbench.harness.engine.execution import execute
from isrbench.harness.engine.plan import Plan, make_plan
from isrbench.harness.engine.preparing import folder_kept
from isrbench.harness.engine.request import Request, Resume, parse_resume
from isrbench.harness.engine.runners import check_runner
from isrbench.harness.engine.trackers import check_trackers, track
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames, load_frames
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import RunSummary, summarise

if TYPE_CHECKING:
    import pandas as pd

    from isrbench.harness.api.records import Manifest


@dataclass(frozen=True, repr=False)
class RunResult:
    """A stored run: what it was, how it went, and its rows as pandas frames, read from the store when asked for."""

    run: str
    """The run's id."""
    folder: Path
    """The run's folder: ``images/`` with the restored PNGs, and ``manifest.json``."""
    manifest: Manifest
    """Method, options, weights, dataset, seed, metrics, machine."""
    summary: RunSummary
    """The mean of each metric with its n, and what went wrong."""
    failed: int
    """Images that failed, or that have a failed score."""
    computed: bool
    """Whether this call computed anything; False where every row was stored already."""
    cost_failed: bool = False
    """Whether this call could not count or time the method, by a fault of the method's code; a note says which."""

    def __repr__(self) -> str:
        done = f"{self.summary.restored} of {self.summary.images} images restored"
        return f"<RunResult {self.run}: {done}, {self.failed} failed>"

    @property
    def paths(self) -> dict[str, Path]:
        """Return where the rows (the store), the images and the manifest are."""
        return {name: Path(place) for name, place in self.summary.places.items()}

    def frames(self) -> Frames:
        """Return all rows of the run, in the form that reports are made from."""
        with Store(self.folder.parent, create=False) as store:
            return load_frames(store, [self.run])

    def scores(self) -> pd.DataFrame:
        """Return one row an image and metric; the columns are those of ``Frames.scores``."""
        return self.frames().scores

    def images(self) -> pd.DataFrame:
        """Return one row an image: status, time, severity, files; the columns are those of ``Frames.images``."""
        return self.frames().images

    def routing(self) -> pd.DataFrame:
        """Return one row an image and adapted layer; no rows for methods that do not route."""
        return self.frames().routing


def evaluate(
    method: str,
    dataset: str | Path,
    *,
    options: Mapping[str, Any] | None = None,
    metrics: str | Sequence[str] | None = None,
    require_metrics: bool = False,
    limit: int | None = None,
    sample: int | None = None,
    scale: int | None = None,
    hr_crop: str | None = None,
    seed: int = 0,
    repeat_of: str = "",
    device: str = "auto",
    estimator: str = "tiny",
    hr_severity: bool = False,
    runs_dir: str | Path = "runs",
    resume: str = "only-missing",
    name: str | None = None,
    runner: str = "threads",
    workers: int | None = None,
    ray_address: str | None = None,
    gpus_per_worker: float = 0,
    devices: Sequence[str] = (),
    batch: int = 1,
    on_oom: str = "skip",
    complexity: bool = True,
    trackers: Sequence[str] = (),
    data_root: str | Path | None = None,
    progress: ProgressOption = None,
) -> RunResult:
    """Run a method over a dataset and score the PNGs that it writes; go on where an earlier run stopped.

    Args:
        method: A method's id (see ``list_methods()``), or a model card (.toml).
        dataset: A dataset's id (see ``list_datasets()``), a card (.toml), or a folder with LR/ and HR/.
        options: The method's options by name, as values or as texts; ``isrbench describe method ID`` shows them.
        metrics: Metric ids and names of sets such as ``@osediff``, or a single one; see ``list_metrics()``. None =
            ``@osediff``, gmsd, vsi and piqe, as far as their weights are on this machine: none are downloaded for them.
        require_metrics: Refuse to run without the weights of every metric; False = such a metric stays blank.
        limit: Only so many images, drawn evenly over the set. The run is labelled as a part.
        sample: Only so many images, drawn by the seed. The run is labelled as a part.
        scale: How many times larger; None = as the card or the first pair says. A set without HR images may have any;
            at another than its own it is a set of its own in tables, such as ``RealLR200-x2``.
        hr_crop: ``modulo`` cuts HR images at the right and at the bottom to a multiple of the scale; None = as the
            card says.
        seed: Every image's own seed comes from this and its id.
        repeat_of: Id of a run that differs in its seed alone. Tables then show that run and not this one, and a report
            says how far the two are apart (``isrbench eval --seeds``).
        device: ``auto``, or a torch device.
        estimator: What estimates severities: ``tiny``, ``fft`` (no weights), an open_clip ``MODEL/PRETRAINED``, or
            ``none``. A method that routes goes by its own, whatever is said here.
        hr_severity: Estimate the severity of the HR images too, so that reports can group by it.
        runs_dir: Where runs are kept.
        resume: ``only-missing`` computes what is not stored; ``never`` starts a new run; ``only-cache`` computes
            nothing.
        name: What tables call the method, to tell two folders or checkpoints apart; None = its title.
        runner: What carries out the jobs: ``threads``, ``serial``, or ``ray`` (docs/scale.md). Never changes a result.
        workers: Threads that score, None = one a core; or Ray's workers, None = as many as there is room for.
        ray_address: A Ray cluster's address, or ``auto``; None = start one on this machine for this run.
        gpus_per_worker: GPUs of the cluster that each of Ray's workers takes.
        devices: Torch devices of this machine for Ray's workers, one each, in place of ``device``.
        batch: Images of one size that are restored together, by methods that can; a part of the run's identity.
        on_oom: What becomes of an image that the device has no memory for: ``skip`` gives it the status ``oom``,
            ``tile`` restores it in tiles, which its row says, and is part of the run's identity.
        complexity: Whether to count and time the method too.
        trackers: ``tensorboard`` or ``wandb``, which are told the run's scores in the end.
        data_root: The set's own folder, or one above it; None = ``$ISRBENCH_DATA`` and ``./data``.
        progress: A callback ``(stage, done, total)``, or True for progress bars.

    Returns:
        The run. A failed image or score does not raise: ``failed`` counts them and ``summary`` says why.

    Raises:
        UserError: For anything that the caller can fix; no row has been written then, unless the place that rows are
            written to has become full or forbidden: what was done until then is kept.
    """
    chosen = (metrics,) if isinstance(metrics, str) else metrics
    request = Request(
        method=method, dataset=str(dataset), options=option_texts(options), name=name,
        metrics=None if chosen is None else tuple(chosen), limit=limit, sample=sample, scale=scale,
        hr_crop=hr_crop, seed=seed,
        device=devices[0] if devices else device, estimator=estimator,
        hr_severity=hr_severity, runs_dir=Path(runs_dir), resume=parse_resume(resume),
        runner=runner, workers=workers, ray_address=ray_address, gpus_per_worker=gpus_per_worker,
        devices=tuple(devices), batch=batch, on_oom=on_oom, complexity=complexity,
        data_root=None if data_root is None else Path(data_root), repeat_of=repeat_of, argv=tuple(sys.argv),
    )  # fmt: skip
    check_runner(request)
    check_trackers(trackers)
    with folder_kept():
        plan = make_plan(request)
    if require_metrics:
        _require_metrics(plan)
    with Store(request.runs_dir, create=request.resume is not Resume.ONLY_CACHE) as store:
        with reporting(progress) as tell:
            outcome = execute(plan, store, tell)
        notes = (*outcome.notes, *track(store, outcome.run, trackers))
        asked = (*plan.scorer.image_metrics, *plan.scorer.set_metrics)
        return RunResult(
            run=outcome.run,
            folder=outcome.folder,
            manifest=store.manifest(outcome.run),
            summary=summarise(store, outcome.run, asked, notes, request.metrics or ()),
            failed=outcome.failed,
            computed=outcome.computed,
            cost_failed=outcome.cost_failed,
        )


def same_images(one: RunResult, other: RunResult) -> bool:
    """Return whether two runs gave the same images, byte for byte; failed ones left out, False where none is left."""
    with Store(one.folder.parent, create=False) as store:
        first, second = ({row.image: row.output_hash for row in store.images(run)} for run in (one.run, other.run))
    pairs = [(first[id], second[id]) for id in first.keys() & second.keys() if first[id] and second[id]]
    return bool(pairs) and all(a == b for a, b in pairs)


def _require_metrics(plan: Plan) -> None:
    """Refuse a plan some of whose metrics have no weights here."""
    lacking = list(plan.scorer.lacking().values())
    if lacking:
        fixes = "; ".join(dict.fromkeys(failure.fix for failure in lacking if failure.fix))
        raise UserError(
            f"metrics are required, but {'; '.join(failure.message for failure in lacking)}",
            f"{fixes}, or leave --require-metrics out" if fixes else "leave --require-metrics out",
        )


def load_runs(runs_dir: str | Path = "runs", *, every: bool = False) -> list[RunResult]:
    """Return stored runs, in the order in which they were last asked for.

    Args:
        runs_dir: Where runs are kept.
        every: All runs; False = those that ``isrbench report`` shows, the newest of every method and set.

    Raises:
        UserError: If there are no runs in ``runs_dir``, or its store cannot be read.
    """
    with Store(Path(runs_dir), create=False) as store:
        states = store.states()
        chosen = {state.run for state in states} if every else set(store.newest_runs())
        return [_stored(store, state.run, state.failed) for state in states if state.run in chosen]


def _stored(store: Store, run: str, failed: int) -> RunResult:
    manifest = store.manifest(run)
    summary = summarise(store, run, tuple(manifest.metrics))
    return RunResult(run, store.folder / run, manifest, summary, failed, computed=False)
