"""``isrbench eval``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from isrbench.harness.api.steps import steps
from isrbench.harness.cli.arguments import (
    NOTHING,
    RUNS_DIR,
    AcceptLicense,
    Batch,
    Complexity,
    DataRoot,
    Dataset,
    Device,
    Devices,
    Estimator,
    GpusPerWorker,
    HrCrop,
    HrSeverity,
    Json,
    Limit,
    Method,
    Metrics,
    Name,
    OnOom,
    Options,
    RayAddress,
    Report,
    RequireMetrics,
    Resume,
    Runner,
    RunsDir,
    Sample,
    Scale,
    Seed,
    Seeds,
    Trackers,
    Workers,
    devices_of,
    metric_ids,
)
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.engine.evaluate import RunResult


def eval_(
    method: Method,
    dataset: Dataset,
    option: Options = NOTHING,
    name: Name = None,
    metrics: Metrics = None,
    require_metrics: RequireMetrics = False,
    data_root: DataRoot = None,
    accept_license: AcceptLicense = False,
    limit: Limit = None,
    sample: Sample = None,
    scale: Scale = None,
    hr_crop: HrCrop = None,
    runs_dir: RunsDir = RUNS_DIR,
    resume: Resume = "only-missing",
    device: Device = "auto",
    seed: Seed = 0,
    seeds: Seeds = 1,
    runner: Runner = "threads",
    workers: Workers = None,
    devices: Devices = None,
    ray_address: RayAddress = None,
    gpus_per_worker: GpusPerWorker = 0,
    batch: Batch = 1,
    on_oom: OnOom = "skip",
    estimator: Estimator = "tiny",
    hr_severity: HrSeverity = False,
    complexity: Complexity = True,
    report: Report = True,
    tracker: Trackers = NOTHING,
    json: Json = False,
) -> None:
    """Run a method over a dataset and score what it writes; go on where an earlier run stopped.

    For example:

    `isrbench eval --method bicubic --dataset sample`

    `isrbench eval --method bicubic --dataset my_pairs/ --metrics psnr,gmsd`

    `isrbench eval --method folder -o images=ours/ --dataset RealSR`

    `isrbench eval matrix.toml --dry-run`: many runs, methods x sets, written down in one file (docs/runs.md)
    """
    from isrbench.harness.api.options import split_options
    from isrbench.harness.api.registry import methods
    from isrbench.harness.cli.terminal import show_json, show_place, show_summary
    from isrbench.harness.cli.waiting import progress_bars
    from isrbench.harness.engine.evaluate import evaluate

    options = split_options(option)
    if seeds > 1 and sample is not None:
        raise UserError("--seeds with --sample: each seed would draw other images", "--limit draws the same for all")
    if accept_license:
        methods().get(method)  # a mistyped method is no reason to download gigabytes first
        _fetch_if_absent(dataset, data_root)
    shown_before = _newest_runs(runs_dir)

    def run(seed: int, repeat_of: str, complexity: bool) -> RunResult:
        with progress_bars(quiet=json) as progress:
            return evaluate(
                method, dataset, options=options, name=name, require_metrics=require_metrics, data_root=data_root,
                metrics=metric_ids(metrics), limit=limit, sample=sample, scale=scale, hr_crop=hr_crop,
                runs_dir=runs_dir, resume=resume,
                device=device, seed=seed, repeat_of=repeat_of, workers=workers, estimator=estimator,
                hr_severity=hr_severity, complexity=complexity, trackers=tracker, progress=progress,
                ray_address=ray_address, gpus_per_worker=gpus_per_worker, batch=batch, on_oom=on_oom,
                devices=devices_of(devices),
                runner="ray" if devices else runner,
            )  # fmt: skip

    result = run(seed, "", complexity)
    if json:
        show_json(result.summary)
    else:
        show_summary(result.summary)
    repeats = _repeat(result, range(seed + 1, seed + seeds), lambda other: run(other, result.run, False))
    page = update_report(runs_dir, any(r.computed for r in (result, *repeats)), shown_before) if report else None
    if page is not None and not json:
        show_place("report", page)
    raise typer.Exit(1 if any(r.failed or r.cost_failed for r in (result, *repeats)) else 0)


def _repeat(first: RunResult, seeds: Iterable[int], run: Callable[[int], RunResult]) -> list[RunResult]:
    """Run a method under further seeds, until one gives the same images: it is deterministic then."""
    from isrbench.harness.cli.terminal import show_warning
    from isrbench.harness.engine.evaluate import same_images

    repeats = []
    for seed in seeds:
        repeats.append(run(seed))
        if repeats[-1].failed:
            show_warning(
                f"under seed {seed}: {_first_failure(repeats[-1])}",
                f"isrbench export {shlex.quote(str(repeats[-1].folder))} --table images --to images.csv",
            )
        if same_images(first, repeats[-1]):
            show_warning(
                f"{first.manifest.title} gives the same images under seeds {first.manifest.seed} and {seed}: "
                "it is deterministic",
                "leave --seeds out; further seeds are not run",
            )
            break
    return repeats


def _first_failure(result: RunResult) -> str:
    """Return what failed first in a run whose summary is not shown."""
    for image, failure in result.summary.errors:
        return f"{result.failed} images failed, first {image}: {failure.brief}"
    for row in result.summary.metrics:
        if row.failed:
            return f"{row.metric} failed on {row.failed} images, first {row.image}: {row.message}"
    return f"{result.failed} images have no severity"


def update_report(runs_dir: Path, computed: bool, shown_before: Sequence[str] = ()) -> Path | None:
    """Bring the report of all newest runs up to date; a fault of it is a warning, since the run itself has ended."""
    from isrbench.harness.cli.report import report_writer
    from isrbench.harness.cli.terminal import show_warning

    page = runs_dir / "report" / "index.html"
    try:
        if computed or list(shown_before) != _newest_runs(runs_dir) or not _is_current(page, runs_dir):
            steps.info("writing the report...")
            page = report_writer()(runs_dir=runs_dir)
    except (UserError, OSError) as error:
        again = f"isrbench report --runs-dir {shlex.quote(str(runs_dir))}"
        said = error.message if isinstance(error, UserError) else f"{error.filename or page}: {error.strerror or error}"
        fix = error.fix if isinstance(error, UserError) else None
        show_warning(
            f"the run is stored, but its report is not written: {said}", f"{fix}; then: {again}" if fix else again
        )
        return None
    return page


def _fetch_if_absent(dataset: str, data_root: Path | None) -> None:
    from isrbench.harness.data.catalogue import find_card
    from isrbench.harness.data.fetch import fetch_dataset
    from isrbench.harness.data.find import find_root

    card = find_card(dataset)
    try:
        find_root(card, data_root)
    except UserError:
        fetch_dataset(card, data_root, accept_license=True)


def _newest_runs(runs_dir: Path) -> list[str]:
    """The runs that a report would show; none where there is no store yet, or none that can be read as it is."""
    from isrbench.harness.store.store import Store

    try:
        with Store(runs_dir, create=False) as store:
            return store.newest_runs()
    except UserError:
        return []


def _is_current(page: Path, runs_dir: Path) -> bool:
    """Whether the page is there with all that belongs to it, and was written after the last change of any run."""
    from isrbench.harness.listed import is_whole
    from isrbench.harness.store.store import Store

    try:
        written = datetime.fromtimestamp(page.stat().st_mtime, timezone.utc)
    except OSError:
        return False
    if not is_whole(page.parent):
        return False
    with Store(runs_dir, create=False) as store:
        return written.isoformat(timespec="microseconds") >= store.last_computed()
