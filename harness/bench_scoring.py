"""Times our PSNR and SSIM against a plain pyiqa loop over the same files, side by side in one process.

``python -m harness.bench_scoring --sr DIR --hr DIR [--limit N] [--workers N]``
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.images import image_files, to_tensor
from harness.scoring import Scorer

log = logging.getLogger(__name__)

METRICS: tuple[str, ...] = ("psnr", "ssim")


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
        """How many times faster ours is."""
        return self.plain_seconds / self.ours_seconds


def compare(pairs: Sequence[tuple[Path, Path]], workers: int) -> Comparison:
    """Score ``pairs`` of (restored, HR) files both ways; building the metrics is not timed.

    Raises:
        UserError: If a file cannot be scored.
    """
    plain = _plain_loop()
    scorer = Scorer(METRICS)
    # One image each to load what is loaded late.
    plain(pairs[:1])
    scorer.score(*pairs[0])
    start = time.perf_counter()
    theirs = plain(pairs)
    between = time.perf_counter()
    ours = scorer.score_pairs(pairs, workers)
    end = time.perf_counter()
    difference = dict.fromkeys(METRICS, 0.0)
    for (file, _), expected, scores in zip(pairs, theirs, ours, strict=True):
        for score, value in zip(scores, expected, strict=True):
            if score.value is None:
                raise UserError(f"{file} cannot be scored: {score.error}")
            difference[score.metric] = max(difference[score.metric], abs(score.value - value))
    return Comparison(len(pairs), between - start, end - between, workers, difference)


def main(argv: Sequence[str] | None = None) -> int:
    """Print both times, their ratio and the largest difference."""
    parser = argparse.ArgumentParser(description="PSNR + SSIM: ours against a plain pyiqa loop")
    parser.add_argument("--sr", type=Path, required=True, help="folder of restored PNGs")
    parser.add_argument("--hr", type=Path, required=True, help="folder of HR images with the same names")
    parser.add_argument("--limit", type=int, default=None, help="only the first N images")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="our threads")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pairs = [(file, options.hr / file.name) for file in image_files(options.sr)][: options.limit]
    if not pairs:
        parser.error(f"there are no images in {options.sr}")
    result = compare(pairs, options.workers)
    log.info("%d images", result.images)
    log.info("plain pyiqa loop        %8.2f s", result.plain_seconds)
    log.info("isrbench, %2d threads    %8.2f s", result.workers, result.ours_seconds)
    log.info("%.1f times faster", result.speedup)
    for metric, difference in result.difference.items():
        log.info("largest difference  %s  %.1e", metric, difference)
    return 0


def _plain_loop() -> Callable[[Sequence[tuple[Path, Path]]], list[tuple[float, ...]]]:
    """The loop that people write: create_metric, PIL, to_tensor, one pair after the other."""
    import numpy as np
    import pyiqa
    from PIL import Image

    metrics = (
        pyiqa.create_metric("psnr", device="cpu", test_y_channel=True, color_space="ycbcr"),
        pyiqa.create_metric("ssim", device="cpu", test_y_channel=True, color_space="ycbcr"),
    )

    def run(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[float, ...]]:
        values = []
        for files in pairs:
            images = [to_tensor(np.asarray(Image.open(file).convert("RGB")))[None] for file in files]
            values.append(tuple(float(metric(*images)) for metric in metrics))
        return values

    return run


if __name__ == "__main__":
    raise SystemExit(main())
