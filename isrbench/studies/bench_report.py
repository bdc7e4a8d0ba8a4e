"""Measures a report over many rows: seconds, peak memory, the size of what is written, and how fast its page opens.

``isrbench tools bench-report [--methods 5] [--images 3000] [--out FOLDER]`` writes runs of made-up rows on a set of the
size of DIV2K-val's crops, scored by the nine metrics of OSEDiff's table, and reports on them. The page is opened in
headless Chromium where selenium and a driver are installed. ``--pixels N`` also makes image files, LRs of N/4 and
restored images of N pixels a side, one picture for all: by default there are none, and the report copies none.
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

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
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.sets import METRIC_SETS
from isrbench.harness.store.store import Store, now

log = logging.getLogger(__name__)

_METRICS = METRIC_SETS["@osediff"]
_RANGES = {"psnr": (27, 4), "niqe": (5, 1), "musiq": (60, 6), "fid": (60, 1)}
"""Mean and spread of made-up values; 0.6 and 0.08 for those that are not listed."""
_PATIENCE = 60.0
_LAYERS = 290
"""Adapted layers of SD 2.1's UNet and VAE encoder, each with a row an image for the method that routes."""
_NAMES = tuple(f"layer.{index}" for index in range(_LAYERS))


@dataclass(frozen=True)
class Opening:
    """How long a page took to open, seconds from the call on."""

    table: float
    """Until the tables are there to read and the gallery shows its first images, painted."""
    whole: float
    """Until all pieces of its data are there."""
    cards: int
    """Of the gallery, at first."""


def write_runs(folder: Path, methods: int, images: int, pixels: int = 0) -> None:
    """Write a store of ``methods`` runs over one set of ``images``: bicubic, others, and last one that routes.

    Args:
        folder: The runs folder.
        methods: How many runs.
        images: How many images.
        pixels: Side of the restored images; 0 = no files.
    """
    lr, hr = _picture(folder, pixels) if pixels else (None, None)
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
                    run=run, image=id, status=ImageStatus.OK, lr=str(lr or f"/made-up/LR/{id}.png"), seconds=0.1,
                    hr=str(hr or f"/made-up/HR/{id}.png"), output=hr.name if hr else f"{run}/images/{id}.png",
                    output_hash="0" * 64,
                    estimator="made-up", severity=tuple(severity),
                    active_experts=float(np.mean(active)) if routes else None,
                )  # fmt: skip
                trace = RoutingTrace(_NAMES, tuple(active), (0,) * _LAYERS) if routes else None
                store.add_image(row, trace)
            for metric in _METRICS:
                store.add_scores(_scores(run, metric, ids, method, severities.mean(1), rng))


def _picture(folder: Path, pixels: int) -> tuple[Path, Path]:
    """Write an LR and an HR of seeded noise, smoothed as photos are, into the runs folder."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)
    hr = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))
    paths = folder / "lr.png", folder / "hr.png"
    hr.resize((pixels // 4, pixels // 4), Image.Resampling.BOX).save(paths[0])
    hr.save(paths[1])
    return paths


def open_in_browser(page: Path) -> Opening | None:
    """Open a page from disk in headless Chromium at 1280x900; None where selenium, Chromium or its driver is absent."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        return None
    if not (binary and driver):
        return None
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.page_load_strategy = "none"  # what is measured is what a person sees, not the last picture
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1280,900"):
        options.add_argument(f"--{argument}")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        start = time.perf_counter()
        browser.get(page.resolve().as_uri())
        table = _seconds_until(browser, _CARDS, start)
        browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        painted = max(table, time.perf_counter() - start)
        cards = int(browser.execute_script(_CARDS) or 0)
        whole = _seconds_until(browser, "return !/loading/.test(document.querySelector('.count').textContent)", start)
        return Opening(painted, max(painted, whole), cards)
    finally:
        browser.quit()


_CARDS = "return document.querySelectorAll('.shot').length"


def _seconds_until(browser: Any, script: str, start: float) -> float:
    """Wait until a script returns something true; seconds since ``start``.

    Raises:
        UserError: If that takes longer than a minute.
    """
    while time.perf_counter() - start < _PATIENCE:
        try:
            if browser.execute_script(script):
                return time.perf_counter() - start
        except Exception:  # between two documents there is none to ask
            log.debug("not yet", exc_info=True)
        time.sleep(0.01)
    raise UserError("the page has not opened within a minute", "open it by hand and look at the browser's console")


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
    parser.add_argument("--pixels", type=int, default=0, help="side of restored images; 0 = no files (default)")
    parser.add_argument("--out", type=Path, help="a folder to keep the runs and the report in")
    given = parser.parse_args(argv)
    if min(given.methods, given.images) < 1 or 0 < given.pixels < 4 or given.pixels < 0:
        parser.error("--methods and --images: 1 at least; --pixels: 0, or 4 at least")
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory(prefix="isrbench-bench-") as made:
        folder = given.out or Path(made)
        start = time.perf_counter()
        write_runs(folder, given.methods, given.images, given.pixels)
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
        pieces = [file for file in files if file.parent.parent.name == "data"]
        sizes = _mib([page]), _mib(pieces), len(pieces), len(files), _mib(files)
        log.info("page           %8.1f MiB, its data %.1f MiB in %d pieces, all %d files %.1f MiB", *sizes)
        opening = open_in_browser(page)
        if opening is None:
            log.info("page opens     not measured: it takes selenium, chromium and chromedriver")
        else:
            log.info("page opens     %8.2f s, %d images shown; %.2f s for all", *_facts(opening))
    return 0


def _facts(opening: Opening) -> tuple[float, int, float]:
    return opening.table, opening.cards, opening.whole


def _mib(files: Sequence[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 2**20


if __name__ == "__main__":
    raise SystemExit(main())
