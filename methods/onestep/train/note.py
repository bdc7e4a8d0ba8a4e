"""What severities a training will see: looked at before its first step, because routing learns from nothing else."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from isrbench.harness.files import replacing
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.onestep.train.config import TrainConfig
from isrbench.methods.onestep.train.data import open_loader

log = logging.getLogger(__name__)

NAME = "severities.csv"
LOW, HIGH = 0.05, 0.95
"""The ends of the severity scale: below and above."""
_SATURATED = 0.5
"""From this share of images at the ends on, a dimension says little more than a side."""
_COLUMNS = ("dimension", "images", "mean", "below_0.05", "above_0.95")


def note_severities(config: TrainConfig, estimator: Estimator, device: torch.device) -> None:
    """Write and log the marginals of the seven severities over the run's first ``severity_note`` items.

    The items are those that the first steps train on, each drawn from the run's seed and its number; the global random
    state is left as it was, so that a run is the same with and without this. Only LRs are made and looked at.

    Args:
        config: The run; ``severities.csv`` goes to its ``out``.
        estimator: What its images are routed by; looked at also where the routers see something else (``routed_by``).
        device: Where the estimator is asked.

    Raises:
        UserError: If a photo cannot be read.
    """
    if not config.severity_note:
        return
    with torch.random.fork_rng(devices=[]):  # a DataLoader draws its workers' seed from torch's global state
        loader = open_loader(config.data, config.seed, config.batch, range(config.severity_note))
        windows = (batch.severity_window.to(device) for batch in loader)
        found = np.concatenate([estimator.estimate(window).cpu().double().numpy() for window in windows])
    rows = marginals(found)
    _write(config.out / NAME, rows)
    table = "\n".join(f"  {name:<12} {mean:5.3f} {below:7.1%} {above:7.1%}" for name, _, mean, below, above in rows)
    log.info("severities of the first %d items: mean, share below %g, above %g\n%s", len(found), LOW, HIGH, table)
    for name, _, _, below, above in rows:
        if below + above > _SATURATED:
            log.warning(
                "severity '%s' is saturated: below %g or above %g in %.0f%% of %d images, so that routing sees little "
                "more of it than a side. A lower logit_scale spreads what a CLIP model estimates",
                name, LOW, HIGH, 100 * (below + above), len(found),
            )  # fmt: skip


def marginals(severities: NDArray[np.float64]) -> list[tuple[str, int, float, float, float]]:
    """Return of each dimension: name, images, mean, and the shares of images below ``LOW`` and above ``HIGH``.

    Args:
        severities: (N, 7) in [0, 1], in the order of ``DIMENSIONS``.
    """
    return [
        (name, len(column), float(column.mean()), float((column < LOW).mean()), float((column > HIGH).mean()))
        for name, column in zip(DIMENSIONS, severities.T, strict=True)
    ]


def _write(path: Path, rows: list[tuple[str, int, float, float, float]]) -> None:
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows((name, count, *(f"{value:.6g}" for value in rest)) for name, count, *rest in rows)
