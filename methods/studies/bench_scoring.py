"""Times our scoring against a plain pyiqa loop over the same files, side by side in one process.

``isrbench tools bench-scoring [--sr DIR --hr DIR] [--metrics M] [--limit N] [--workers N] [--at-least RATIO]``; without
folders it takes bicubic enlargements of the sample set.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from isrbench.harness.api.metric import Reference
from isrbench.harness.api.registry import metrics as installed_metrics
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb, to_tensor, write_png
from isrbench.harness.imaging.listing import list_images
from isrbench.harness.imaging.opening import opened
from isrbench.harness.metrics.pyiqa_bridge import NIQE_PARAMETERS
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.metrics.sets import expand

log = logging.getLogger(__name__)

PLAIN: dict[str, dict[str, Any]] = {
    "psnr": {"test_y_channel": True, "color_space": "ycbcr"},
    "ssim": {"test_y_channel": True, "color_space": "ycbcr"},
    "ms_ssim": {},
    "gmsd": {},
    "vsi": {},
    "niqe": {"pretrained_model_path": str(NIQE_PARAMETERS)},
    "piqe": {},
}
"""Metrics that need no download and that pyiqa has, with its arguments."""


@dataclass(frozen=True)
class Comparison:
    """What the bench saw."""

    images: int
    plain_seconds: float
    """pyiqa, one image after the other, with torch's own number of threads."""
    ours_seconds: float
    workers: int
    difference: dict[str, float]
    """Largest absolute difference of any image, by metric."""

    @property
    def speedup(self) -> float:
        """Return how many times faster ours is."""
        return self.plain_seconds / self.ours_seconds


def compare(pairs: Sequence[tuple[Path, Path]], workers: int, metrics: Sequence[str]) -> Comparison:
    """Score ``pairs`` of (restored, HR) files both ways; building the metrics is not timed.

    Args:
        pairs: Files.
        workers: Our threads.
        metrics: Ids, of :data:`PLAIN`.

    Raises:
        UserError: If a file cannot be scored.
    """
    plain = _plain_loop(metrics)
    scorer = Scorer(metrics)
    # One image each to load what is loaded late.
    plain(pairs[:1])
    scorer.score(*pairs[0])
    start = time.perf_counter()
    theirs = plain(pairs)
    between = time.perf_counter()
    ours = scorer.score_pairs(pairs, workers)
    end = time.perf_counter()
    difference = dict.fromkeys(metrics, 0.0)
    for (file, _), expected, scores in zip(pairs, theirs, ours, strict=True):
        for score, value in zip(scores, expected, strict=True):
            if score.value is None:
                raise UserError(f"{file} cannot be scored: {score.failure.message if score.failure else score.status}")
            difference[score.metric] = max(difference[score.metric], abs(score.value - value))
    return Comparison(len(pairs), between - start, end - between, workers, difference)


def comparable(names: Sequence[str]) -> tuple[str, ...]:
    """Expand sets of metrics and keep those of :data:`PLAIN`; what is left out is logged.

    Raises:
        UserError: If none is left.
    """
    asked = expand(names)
    kept = tuple(id for id in asked if id in PLAIN)
    if not kept:
        raise UserError(f"pyiqa has none of {', '.join(asked)} without a download", f"choose of {', '.join(PLAIN)}")
    if left := [id for id in asked if id not in kept]:
        log.info("left out, not in pyiqa or with weights: %s", ", ".join(left))
    return kept


def pairs_of_folders(sr: Path, hr: Path) -> list[tuple[Path, Path]]:
    """Return the (restored, HR) files of equal names.

    Raises:
        UserError: If a folder or a partner is missing, or there are no images.
    """
    for folder in (sr, hr):
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder", "check the path")
    pairs = [(file, hr / file.name) for file in list_images(sr)]
    if not pairs:
        raise UserError(f"there are no images in {sr}", "give a folder of restored images: --sr DIR")
    alone = next((file for file, target in pairs if not target.is_file()), None)
    if alone is not None:
        raise UserError(f"{alone} has no HR image {hr / alone.name}", "the files of the two folders need equal names")
    return pairs


def pairs_of_sample(folder: Path) -> list[tuple[Path, Path]]:
    """Enlarge the sample set by bicubic interpolation into ``folder``: (restored, HR) files."""
    pairs = []
    for pair in load_pairs(find_card("sample")):
        assert pair.hr is not None  # the shipped card has `has_hr = true`
        target = read_rgb(pair.hr)
        size = (target.shape[1], target.shape[0])
        enlarged = Image.fromarray(read_rgb(pair.lr)).resize(size, Image.Resampling.BICUBIC)
        write_png(folder / f"{pair.id}.png", np.asarray(enlarged))
        pairs.append((folder / f"{pair.id}.png", pair.hr))
    return pairs


def main(argv: Sequence[str] | None = None) -> int:
    """Print both times, their ratio and the largest difference.

    Returns:
        0; 1 where the ratio is below ``--at-least``; 2 for the user's mistake.
    """
    parser = argparse.ArgumentParser(
        prog="isrbench tools bench-scoring",
        description="Scoring: ours against a plain pyiqa loop",
    )
    parser.add_argument("--sr", type=Path, help="folder of restored PNGs [default: bicubic of the sample set]")
    parser.add_argument("--hr", type=Path, help="folder of HR images with the same names")
    parser.add_argument(
        "--metrics",
        default="psnr,ssim",
        help="ids and sets (@free), of those that pyiqa has too and that need no weights [default: %(default)s]",
    )
    parser.add_argument("--limit", type=int, default=None, help="only the first N images")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="our threads")
    parser.add_argument("--at-least", type=float, default=0.0, help="exit with 1 where the ratio is below this")
    options = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    if (options.sr is None) != (options.hr is None):
        parser.error("--sr and --hr belong together: give both, or neither for the sample set")
    if options.limit is not None and options.limit < 1:
        parser.error("--limit: at least one image")
    try:
        metrics = comparable(options.metrics.split(","))
        with tempfile.TemporaryDirectory(prefix="isrbench-bench-") as made:
            pairs = pairs_of_folders(options.sr, options.hr) if options.sr else pairs_of_sample(Path(made))
            result = compare(pairs[: options.limit], options.workers, metrics)
    except UserError as error:
        log.error("%s", error)
        return 2
    _report(result)
    if result.speedup < options.at_least:
        log.error("%.2f times is below --at-least %g", result.speedup, options.at_least)
        return 1
    return 0


def _report(result: Comparison) -> None:
    log.info("%d images, %s", result.images, " ".join(result.difference))
    log.info("plain pyiqa loop        %8.2f s", result.plain_seconds)
    log.info("isrbench, %2d threads    %8.2f s", result.workers, result.ours_seconds)
    log.info("ratio                    %8.2f times faster", result.speedup)
    for metric, difference in result.difference.items():
        log.info("largest difference  %-8s %.1e", metric, difference)


def _plain_loop(metrics: Sequence[str]) -> Callable[[Sequence[tuple[Path, Path]]], list[tuple[float, ...]]]:
    """The loop that people write: create_metric, PIL, to_tensor, one pair after the other."""
    import pyiqa

    logging.disable(logging.INFO)  # pyiqa announces each network
    networks = [pyiqa.create_metric(id, device="cpu", **PLAIN[id]) for id in metrics]
    logging.disable(logging.NOTSET)
    sides = [2 if installed_metrics().get(id).reference is Reference.FULL else 1 for id in metrics]

    def run(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[float, ...]]:
        values = []
        for files in pairs:
            images = [to_tensor(_decoded(file))[None] for file in files]
            values.append(
                tuple(float(network(*images[:count])) for network, count in zip(networks, sides, strict=True))
            )
        return values

    return run


def _decoded(file: Path) -> np.ndarray:
    with opened(file) as image:
        return np.asarray(image.convert("RGB"))


if __name__ == "__main__":
    raise SystemExit(main())
