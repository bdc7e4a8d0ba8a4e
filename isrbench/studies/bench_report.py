"""Measures a report over many rows: seconds, this process's peak memory, and the size of what is written.

``isrbench tools bench-report [--methods 5] [--images 3000] [--out FOLDER]`` writes runs of made-up rows on a set of the
size of DIV2K-val's crops, scored by the nine metrics of OSEDiff's table, and reports on them. There are no image files:
thumbnails and the viewer's pictures are not in the measure.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.api.records import (
    DatasetRecord,
    EstimatorRecord,
    ImageRow,
    ImageStatus,
    Manifest,
    MetricRecord,
    RunCost,
    ScoreRow,
    ScoreStatus,
)
from isrbench.harness.api.registry import metrics as installed
from isrbench.harness.metrics.sets import METRIC_SETS
from isrbench.harness.store.store import Store, now

log = logging.getLogger(__name__)

_METRICS = METRIC_SETS["@osediff"]
_RANGES = {"psnr": (27, 4), "niqe": (5, 1), "musiq": (60, 6), "fid": (60, 1)}
"""Mean and spread of made-up values; 0.6 and 0.08 for those that are not listed."""
_LAYERS = 290
"""Adapted layers of SD 2.1's UNet and VAE encoder, each with a row an image for the method that routes."""
_NAMES = tuple(f"layer.{index}" for index in range(_LAYERS))


def write_runs(folder: Path, methods: int, images: int) -> None:
    """Write a store of ``methods`` runs over one set of ``images``: bicubic, others, and last one that routes."""
    rng = np.random.default_rng(0)
    severities = rng.beta(2, 3, (images, 7))
    ids = [f"{index:05d}" for index in range(images)]
    with Store(folder) as store:
        for method in range(methods):
            name = "bicubic" if method == 0 else f"method-{method}"
            run = f"{name}-made-up"
            routes = method == methods - 1
            store.add_run(_manifest(run, name, images, routes))
            store.set_cost(run, RunCost(macs=10**11 * method, flops=2 * 10**11 * method, params_total=10**8))
            for id, severity in zip(ids, severities, strict=True):
                active = [12 + round(4 * value) for value in rng.beta(2, 2, _LAYERS) * severity.mean()]
                row = ImageRow(
                    run=run, image=id, status=ImageStatus.OK, lr=f"/made-up/LR/{id}.png", seconds=0.1,
                    hr=f"/made-up/HR/{id}.png", output=f"{run}/images/{id}.png", output_hash="0" * 64,
                    estimator="made-up", severity=tuple(severity),
                    active_experts=float(np.mean(active)) if routes else None,
                )  # fmt: skip
                trace = RoutingTrace(_NAMES, tuple(active), (0,) * _LAYERS) if routes else None
                store.add_image(row, trace)
            for metric in _METRICS:
                store.add_scores(_scores(run, metric, ids, method, severities.mean(1), rng))


def _scores(
    run: str, metric: str, ids: Sequence[str], method: int, severity: np.ndarray, rng: np.random.Generator
) -> list[ScoreRow]:
    middle, spread = _RANGES.get(metric, (0.6, 0.08))
    if metric == "fid":
        return [ScoreRow(run=run, image="", metric=metric, status=ScoreStatus.OK, value=middle - method)]
    values = middle + spread * (rng.normal(size=len(ids)) + 0.1 * method - severity)
    return [
        ScoreRow(run=run, image=id, metric=metric, status=ScoreStatus.OK, value=float(value))
        for id, value in zip(ids, values, strict=True)
    ]


def _manifest(run: str, name: str, images: int, routes: bool) -> Manifest:
    records = {
        id: MetricRecord(
            direction=metric.direction.value, reference=metric.reference.value, colour=metric.colour,
            definition=metric.definition, code="made-up", weights_version="made-up",
        )
        for id, metric in ((id, installed().get(id)) for id in _METRICS)
    }  # fmt: skip
    dataset = DatasetRecord(id="made-up", title="Made-up rows", images=images, whole=images, scale=4, content_hash="0")
    return Manifest(
        run=run, created=now(), identity=run, name=name, method=name, title=name, routes=routes, options={},
        dataset=dataset, seed=0, device="cpu", metrics=records,
        estimator=EstimatorRecord(spec="tiny", version="made-up"),
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was measured; returns the exit code."""
    from isrbench.reports.entry_points import write

    parser = argparse.ArgumentParser(prog="isrbench tools bench-report", description=__doc__)
    parser.add_argument("--methods", type=int, default=5)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--out", type=Path, help="a folder to keep the runs and the report in")
    given = parser.parse_args(argv)
    if min(given.methods, given.images) < 1:
        parser.error("--methods and --images: 1 at least")
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="isrbench-bench-") as made:
        folder = given.out or Path(made)
        start = time.perf_counter()
        write_runs(folder, given.methods, given.images)
        stored = time.perf_counter()
        before = time.process_time()
        page = write(runs_dir=folder)
        seconds = time.perf_counter() - stored
        processor = time.process_time() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        files = [file for file in page.parent.rglob("*") if file.is_file()]
        log.info("%d methods x %d images x %d metrics", given.methods, given.images, len(_METRICS))
        log.info("writing rows   %8.1f s", stored - start)
        log.info("report         %8.1f s, %.1f s of processor, peak %.0f MiB", seconds, processor, peak)
        log.info("page           %8.1f MiB, all %d files %.1f MiB", _mib([page]), len(files), _mib(files))
    return 0


def _mib(files: Sequence[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 2**20


if __name__ == "__main__":
    raise SystemExit(main())
