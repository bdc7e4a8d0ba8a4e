"""GMSD on 8-bit RGB arrays, without torch: gradients are whole numbers until they are compared."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from isrbench.harness.metrics.fidelity import rounded_yiq

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isrbench.harness.api.metric import ImageMetric

_UNIT = 12
"""A gradient is counted in twelfths: sums of 2x2 pixels are four times their mean, sums of three taps three times."""
_T = 170 * _UNIT**2
"""Xue et al.'s constant, on squares of twelfths."""
_EPS = 1e-12 * _UNIT**2
"""pyiqa's guard inside the root."""


def gmsd(
    restored: NDArray[np.uint8], reference: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None
) -> float:
    """Return the GMSD on Y of YIQ rounded to integers (Xue et al. 2014, eq. 1 to 5, T = 170; pyiqa ``gmsd``).

    Both planes are halved by means of 2x2 pixels (a last odd row or column is left out), then compared by the size of
    their Prewitt gradients; beyond the border there are zeros. The deviation is that of a sample (n - 1).

    Args:
        restored: uint8 (H, W, 3) RGB.
        reference: The HR image, same shape.
        lr: Ignored.

    Returns:
        The standard deviation of the similarity map; 0 for identical images, NaN where the map has one value at most.

    Raises:
        ValueError: If the shapes differ.
    """
    if reference is None or restored.shape != reference.shape:
        shape = None if reference is None else reference.shape
        raise ValueError(f"the restored image has shape {restored.shape}, the HR image {shape}")
    if min(restored.shape[:2]) < 2 or max(restored.shape[:2]) < 4:
        return math.nan
    one, other = (_squared_gradient(_halved(rounded_yiq(image))) + _EPS for image in (restored, reference))
    # One minus the similarity, which deviates as much and is exactly 0 where two gradients are equal.
    apart = (np.sqrt(one) - np.sqrt(other)) ** 2 / (one + other + _T)
    return float(np.std(apart, ddof=1))


def build_gmsd(device: str) -> ImageMetric:
    """Return :func:`gmsd`, which runs on the CPU whatever the device."""
    return gmsd


def _halved(plane: NDArray[np.float64]) -> NDArray[np.int32]:
    """Sums of 2x2 pixels."""
    height, width = (side // 2 * 2 for side in plane.shape)
    whole = plane[:height, :width].astype(np.int32)
    rows = whole[0::2] + whole[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def _squared_gradient(plane: NDArray[np.int32]) -> NDArray[np.float64]:
    """Squares of the Prewitt gradient's length, in twelfths of a grey level; whole numbers."""
    padded = np.pad(plane, 1)
    across = padded[:, :-2] - padded[:, 2:]
    across = across[:-2] + across[1:-1] + across[2:]
    down = padded[:-2] - padded[2:]
    down = down[:, :-2] + down[:, 1:-1] + down[:, 2:]
    return (across * across + down * down).astype(np.float64)
