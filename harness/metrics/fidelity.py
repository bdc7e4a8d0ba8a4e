"""PSNR, SSIM and MS-SSIM on 8-bit RGB arrays: as the field computes them, without torch and without needless copies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isrbench.harness.api.metric import ImageMetric

_LUMA = (65481, 128553, 24966)
"""BT.601 luma weights in thousandths of 1/255: 255000 * (Y - 16) = 65481 R + 128553 G + 24966 B."""
_YIQ = (299, 587, 114)
"""Luma weights of YIQ in thousandths."""
_EPS = 1e-8
"""pyiqa's guard inside the logarithm; identical images score 80 dB."""
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM's scales, the finest first (Wang et al. 2003, section 4)."""
_STRIP = 2**15
"""Values of a plane that SSIM works on at a time: what a processor's cache holds. The result does not depend on it."""


def psnr(
    restored: NDArray[np.uint8], reference: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None
) -> float:
    """Return the PSNR in dB on the unrounded Y of YCbCr (BT.601, 16-235), peak 255, border 0; pyiqa's ``psnr``.

    The squared error is a sum of exact integers, so the value is the same on every machine.

    Args:
        restored: uint8 (H, W, 3) RGB.
        reference: The HR image, same shape.
        lr: Ignored.

    Returns:
        Decibels, at most 80.

    Raises:
        ValueError: If the shapes differ.
    """
    x, y = _same_shape(restored, reference)
    squares = (_luma(x) - _luma(y)).astype(np.int64) ** 2
    # Each is below 2**52, so many of them overflow: the upper and the lower bits are summed apart.
    total = (int((squares >> 26).sum()) << 26) + int((squares & (2**26 - 1)).sum())
    mse = total / (squares.size * (255000 * 255) ** 2)
    return -10 * math.log10(mse + _EPS)


def ssim(
    restored: NDArray[np.uint8], reference: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None
) -> float:
    """Return the SSIM on Y of YCbCr rounded to integers, border 0 (Wang et al. 2004; pyiqa ``ssim``, ``ycbcr``).

    The window is an 11x11 Gaussian, sigma 1.5. Contrast-structure is clipped at 0 as pyiqa does.
    Windows that leave the image are left out.

    Args:
        restored: uint8 (H, W, 3) RGB.
        reference: The HR image, same shape.
        lr: Ignored.

    Returns:
        Mean similarity in [0, 1].

    Raises:
        ValueError: If the shapes differ.
        UserError: If a side is below 11 pixels.
    """
    x, y = _same_shape(restored, reference)
    return ssim_of_luma(rounded_luma(x), rounded_luma(y))


def ms_ssim(
    restored: NDArray[np.uint8], reference: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None
) -> float:
    """Return the MS-SSIM on Y of YIQ rounded to integers, border 0 (Wang et al. 2003, eq. 7; pyiqa ``ms_ssim``).

    Contrast-structure of five scales, halved by means of 2x2 pixels in between, and the luminance of the coarsest. An
    odd side is padded with zeros at both ends before it is halved, as pyiqa does. Windows as in :func:`ssim`.

    Args:
        restored: uint8 (H, W, 3) RGB.
        reference: The HR image, same shape.
        lr: Ignored.

    Returns:
        Similarity in [0, 1].

    Raises:
        ValueError: If the shapes differ.
        UserError: If a side is below 11 pixels at the coarsest scale (161 pixels at the finest are enough).
    """
    x, y = (rounded_yiq(image) for image in _same_shape(restored, reference))
    value = 1.0
    for exponent in _SCALES[:-1]:
        value *= _mean_similarity(x, y, luminance=False) ** exponent
        x, y = _halved(x), _halved(y)
    return float(value * _mean_similarity(x, y) ** _SCALES[-1])


def build_psnr(device: str) -> ImageMetric:
    """Return :func:`psnr`, which runs on the CPU whatever the device."""
    return psnr


def build_ssim(device: str) -> ImageMetric:
    """Return :func:`ssim`, which runs on the CPU whatever the device."""
    return ssim


def build_ms_ssim(device: str) -> ImageMetric:
    """Return :func:`ms_ssim`, which runs on the CPU whatever the device."""
    return ms_ssim


def ssim_of_luma(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the SSIM of two float64 (H, W) planes in [0, 255]; see :func:`ssim`."""
    return _mean_similarity(x, y)


def _mean_similarity(x: NDArray[np.float64], y: NDArray[np.float64], luminance: bool = True) -> float:
    """The mean over all windows, with the luminance's term or without it."""
    if min(x.shape) < _WINDOW:
        raise UserError(
            f"SSIM needs sides of at least {_WINDOW} pixels, not {x.shape[1]}x{x.shape[0]}",
            "leave such images out of the set, or choose other --metrics",
        )
    height, width = (side - _WINDOW + 1 for side in x.shape)
    rows = max(16, _STRIP // width)
    similarity = np.empty((height, width))
    for top in range(0, height, rows):
        seen = slice(top, top + rows + _WINDOW - 1)
        similarity[top : top + rows] = _similarity(x[seen], y[seen], luminance)
    return float(np.mean(similarity))


def _similarity(x: NDArray[np.float64], y: NDArray[np.float64], luminance: bool) -> NDArray[np.float64]:
    """The similarity of every window that lies in two planes; of a strip, what it is in the whole."""
    mean_x, mean_y = _blur(x), _blur(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    # Only the sum of the two variances enters, so four blurs do instead of five. float64 stays: E[x^2] - E[x]^2
    # cancels, and float32 would cost the sixth digit in flat regions.
    covariance = _blur(x * y) - product
    variances = _blur(x * x + y * y) - squares
    structure = np.maximum((2 * covariance + _C2) / (variances + _C2), 0)
    return (2 * product + _C1) / (squares + _C1) * structure if luminance else structure


def _halved(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2x2 pixels; a zero at either end of an odd side counts as a pixel."""
    odd = [(side % 2,) * 2 for side in plane.shape]
    padded = np.pad(plane, odd) if any(plane.shape[axis] % 2 for axis in (0, 1)) else plane
    height, width = (side // 2 * 2 for side in padded.shape)
    rows = padded[0:height:2] + padded[1:height:2]
    return (rows[:, 0:width:2] + rows[:, 1:width:2]) / 4


def rounded_luma(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return Y of YCbCr (BT.601, 16-235), rounded to integers: float64 (H, W)."""
    return ((_luma(rgb) + 127500) // 255000 + 16).astype(np.float64)


def rounded_yiq(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return Y of YIQ (0-255), rounded to integers: float64 (H, W).

    A half falls to the side to which pyiqa's float32 product with fused additions falls, the same on every machine.
    """
    total = np.zeros(rgb.shape[:2], np.int32)
    for channel, weight in enumerate(_YIQ):
        total += rgb[..., channel].astype(np.int32) * weight
    rounded = (total + 500) // 1000
    half = rounded * 1000 - total == 500
    luma = np.zeros(int(half.sum()), np.float32)
    for channel, weight in enumerate(_YIQ):
        scaled = rgb[..., channel][half] / np.float32(255)
        # A product of two float32 is exact in float64, so this rounds as often as a fused addition does.
        luma = (scaled.astype(np.float64) * np.float32(weight / 1000) + luma).astype(np.float32)
    rounded[half] = np.rint(luma * np.float32(255))
    return rounded.astype(np.float64)


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return 255000 * (Y - 16) as exact integers, int32 (H, W)."""
    total = rgb[..., 0].astype(np.int32) * _LUMA[0]
    total += rgb[..., 1].astype(np.int32) * _LUMA[1]
    total += rgb[..., 2].astype(np.int32) * _LUMA[2]
    return total


def _gaussian() -> list[float]:
    taps = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    return list(taps / taps.sum())


_TAPS = _gaussian()


def _blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply the Gaussian window in two passes, 'valid' size; mirror taps share a multiplication."""
    for axis in (0, 1):
        size, half = plane.shape[axis] - _WINDOW + 1, _WINDOW // 2
        shifted = [plane[k : k + size] if axis == 0 else plane[:, k : k + size] for k in range(_WINDOW)]
        total = _TAPS[half] * shifted[half]
        pair = np.empty_like(total)
        for k in range(half):
            np.add(shifted[k], shifted[_WINDOW - 1 - k], out=pair)
            pair *= _TAPS[k]
            total += pair
        plane = total
    return plane


def _same_shape(
    restored: NDArray[np.uint8], reference: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    if reference is None or restored.shape != reference.shape:
        shape = None if reference is None else reference.shape
        raise ValueError(f"the restored image has shape {restored.shape}, the HR image {shape}")
    return restored, reference
