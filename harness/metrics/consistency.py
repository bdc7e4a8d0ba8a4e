"""How well a restored image agrees with the LR that it came from. Needs no HR image and no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isrbench.harness.api.metric import ImageMetric

_EPS = 1e-8
"""The guard inside the logarithm, as ``psnr`` has it: complete agreement gives 80 dB."""


def lr_consistency(restored: NDArray[np.uint8], hr: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None) -> float:
    """Return the PSNR in dB between the LR and the restored image reduced to the LR's size; higher is better.

    The reduction is :func:`reduced`, the antialiased bicubic of the clean end of the harness' degradations. The error
    is the mean over all pixels of all three channels of RGB, peak 255, border 0. After the LR-PSNR of Lugmayr et al.,
    "NTIRE 2021 Learning the Super-Resolution Space Challenge", CVPR Workshops 2021.

    Args:
        restored: uint8 (H, W, 3) RGB.
        hr: Ignored.
        lr: uint8 (h, w, 3) RGB, h <= H and w <= W.

    Returns:
        Decibels, at most 80. What is written as 8 bits and then averaged seldom gives more than 65.

    Raises:
        ValueError: If the LR is absent or larger than the restored image.
    """
    if lr is None or lr.shape[0] > restored.shape[0] or lr.shape[1] > restored.shape[1]:
        shape = None if lr is None else lr.shape
        raise ValueError(f"the restored image has shape {restored.shape}, the LR image {shape}")
    difference = (reduced(restored, lr.shape[0], lr.shape[1]).astype(np.float64) - lr) / 255
    return float(-10 * np.log10(np.mean(difference**2) + _EPS))


def reduced(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """Return an image reduced by antialiased bicubic interpolation (a = -0.5), clipped to [0, 255] and not rounded.

    Args:
        image: uint8 (H, W, 3).
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        float32 (height, width, 3).
    """
    planes = (Image.fromarray(image[..., channel].astype(np.float32)) for channel in range(3))
    small = [np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
    return np.clip(np.stack(small, axis=-1), 0, 255)


def build_lr_consistency(device: str) -> ImageMetric:
    """Return :func:`lr_consistency`, which runs on the CPU whatever the device."""
    return lr_consistency
