"""What estimators answer to degradations that are known, and how far two of them agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from isrbench.harness.degradation.pipeline import degrade
from isrbench.harness.degradation.presets import at_level
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator
from isrbench.harness.severity.training_data import WORST, degrade_apart, degrade_by

CROP = 256
"""Side in pixels of the centre crop of a photo that is degraded."""
SCALE = 4
Vectors = NDArray[np.float64]
"""Severities (N, 7) of N images, in the order of DIMENSIONS."""


def estimates(estimator: Estimator, lrs: Sequence[Tensor]) -> Vectors:
    """Return the severities of images, each float (3, H, W) in [0, 1], of any sizes."""
    return np.array([estimator.estimate(lr[None])[0].tolist() for lr in lrs]).reshape(-1, len(DIMENSIONS))


def rank_correlation(x: Vectors, y: Vectors) -> float:
    """Return Spearman's rho; NaN where either is constant or there are fewer than three."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    found: Any = spearmanr(x, y)
    return float(found.statistic)


def agreement(one: Vectors, other: Vectors) -> dict[str, float]:
    """Return Spearman's rho of two estimates of the same images, of each dimension and of ``severity``, their mean."""
    by_dimension = {name: rank_correlation(one[:, i], other[:, i]) for i, name in enumerate(DIMENSIONS)}
    return {"severity": rank_correlation(one.mean(1), other.mean(1)), **by_dimension}


def at_levels(photos: Sequence[Tensor], seed: int, size: int = CROP) -> tuple[list[Tensor], NDArray[np.float64]]:
    """Degrade the centre crop of each photo, float (3, H, W) in [0, 1], at a random level.

    Returns:
        The LRs, and their levels in [0, 1].
    """
    levels = np.random.default_rng(seed).random(len(photos))
    crops = [_centre(photo, size)[None] for photo in photos]
    pairs = enumerate(zip(crops, levels, strict=True))
    return [degrade(hr, at_level(float(level)), [seed + i], SCALE)[0] for i, (hr, level) in pairs], levels


def level_correlation(estimator: Estimator, photos: Sequence[Tensor], seed: int, size: int = CROP) -> float:
    """Return Spearman's rho of scalar severity and synthetic level over one centre crop of each photo."""
    lrs, levels = at_levels(photos, seed, size)
    return rank_correlation(estimates(estimator, lrs).mean(1), levels)


def mixed(photos: Sequence[Tensor], seed: int) -> tuple[list[Tensor], dict[str, NDArray[np.float64]]]:
    """Degrade each photo by blur, noise, resolution and compression drawn independently, each absent half of the time.

    Returns:
        The LRs, and the strength of each in [0, 1], and of all together as ``quality``.
    """
    drawn = [degrade_apart(clean, np.random.default_rng([seed, i])) for i, clean in enumerate(_clean(photos))]
    names = (*WORST, "quality")
    return [lr for lr, _ in drawn], {name: np.array([known[name] for _, known in drawn]) for name in names}


def alone(photos: Sequence[Tensor], kind: str, strength: float, seed: int) -> list[Tensor]:
    """Degrade each photo in one way only; ``strength`` 0 gives the clean LRs.

    Args:
        photos: float (3, H, W) in [0, 1].
        kind: Of ``WORST``.
        strength: In [0, 1].
        seed: Decides the noise and the way of enlarging.
    """
    strengths = {**dict.fromkeys(WORST, 0.0), kind: strength}
    return [degrade_by(clean, strengths, np.random.default_rng([seed, i])) for i, clean in enumerate(_clean(photos))]


def _clean(photos: Sequence[Tensor]) -> list[Tensor]:
    side = CROP // SCALE
    crops = (_centre(photo, CROP)[None] for photo in photos)
    return [F.interpolate(hr, (side, side), mode="bicubic", antialias=True)[0].clamp(0, 1) for hr in crops]


def _centre(photo: Tensor, size: int) -> Tensor:
    top, left = ((length - size) // 2 for length in photo.shape[1:])
    return photo[:, top : top + size, left : left + size]
