"""Blur kernels of the second-order degradation, and the convolution that applies one to one image.

The six kernel families and the sinc filter are those of Real-ESRGAN (Wang et al., ICCVW 2021, section 3.2); the
generalised and plateau shapes come from Liu et al., "Estimating generalized Gaussian blur kernels" (TIP 2020).
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import fft, special
from torch import Tensor

FAMILIES = ("iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso")
"""Kernel families in the order of ``FAMILY_PROBS``."""
FAMILY_PROBS = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
SIZES = tuple(range(7, 22, 2))
"""Kernel sizes, all equally likely; Real-ESRGAN then pads every kernel to 21 with zeros, which changes nothing."""

Range = tuple[float, float]
Kernel = NDArray[np.float64]


def draw_size(rng: np.random.Generator) -> int:
    """Draw a kernel size."""
    return int(rng.choice(SIZES))


def draw_blur(rng: np.random.Generator, size: int, sigma: Range, betag: Range, betap: Range) -> Kernel:
    """Draw a blur kernel of one of the six families.

    Args:
        rng: Source of every draw.
        size: Odd side length in pixels.
        sigma: Range of the standard deviations, in pixels of the image it is applied to.
        betag: Range of the generalised Gaussian's shape exponent.
        betap: Range of the plateau's shape exponent.

    Returns:
        (size, size), non-negative, sums to 1.
    """
    family = FAMILIES[rng.choice(len(FAMILIES), p=FAMILY_PROBS)]
    sigma_x = rng.uniform(*sigma)
    sigma_y, angle = sigma_x, 0.0
    if family.endswith("aniso"):
        sigma_y, angle = rng.uniform(*sigma), rng.uniform(-math.pi, math.pi)
    beta = 1.0
    if family.startswith("generalized"):
        beta = _draw_beta(rng, betag)
    elif family.startswith("plateau"):
        beta = _draw_beta(rng, betap)
    distance = _mahalanobis(size, sigma_x, sigma_y, angle) ** beta
    weights = 1.0 / (distance + 1.0) if family.startswith("plateau") else np.exp(-0.5 * distance)
    return weights / weights.sum()


def draw_stage_sinc(rng: np.random.Generator, size: int) -> Kernel:
    """Draw the sinc filter that may replace a stage's blur; a large kernel may cut lower."""
    lowest = math.pi / 3 if size < 13 else math.pi / 5
    return sinc(rng.uniform(lowest, math.pi), size)


def draw_final_sinc(rng: np.random.Generator) -> Kernel:
    """Draw the sinc filter at the end, the source of ringing and overshoot."""
    size = draw_size(rng)
    return sinc(rng.uniform(math.pi / 3, math.pi), size)


def sinc(cutoff: float, size: int) -> Kernel:
    """Return the ideal circular low-pass filter (a jinc), cut off at ``cutoff`` radians a pixel.

    Returns:
        (size, size), sums to 1, with negative lobes.
    """
    axis = np.arange(size) - size // 2
    radius = np.hypot(axis[:, None], axis[None, :])
    safe = np.where(radius == 0, 1.0, radius)
    weights = cutoff * special.j1(cutoff * safe) / (2 * math.pi * safe)
    weights[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    return weights / weights.sum()


def gaussian(sigma: float, size: int) -> Kernel:
    """Return an isotropic Gaussian kernel (size, size) that sums to 1."""
    weights = np.exp(-0.5 * _mahalanobis(size, sigma, sigma, 0.0))
    return weights / weights.sum()


def convolve(image: Tensor, kernel: Kernel) -> Tensor:
    """Filter one image with one kernel, mirrored at the border.

    By FFT: it costs the same for every kernel size, and an image's result cannot depend on its neighbours in a batch.

    Args:
        image: float (3, H, W) on the CPU; H and W at least ``size // 2 + 1``, else the border is repeated.
        kernel: (size, size), size odd.

    Returns:
        (3, H, W), of the image's type.
    """
    size = kernel.shape[0]
    reach = size // 2
    height, width = image.shape[-2:]
    mode = "reflect" if min(height, width) > reach else "replicate"
    padded = F.pad(image[None], [reach] * 4, mode=mode)[0]
    # The transform is circular; at least the padded size keeps the part we cut out free of wrap-around.
    shape = (fft.next_fast_len(height + 2 * reach, real=True), fft.next_fast_len(width + 2 * reach, real=True))
    weights = torch.from_numpy(kernel).to(image.dtype)
    product = torch.fft.rfft2(padded, s=shape) * torch.fft.rfft2(weights, s=shape)
    filtered = torch.fft.irfft2(product, s=shape)
    start = size - 1
    return filtered[:, start : start + height, start : start + width]


def _draw_beta(rng: np.random.Generator, limits: Range) -> float:
    """Draw a shape exponent: half of the draws are below 1 (sharper than a Gaussian) and half above, for any range."""
    low, high = limits
    return rng.uniform(low, 1.0) if rng.random() < 0.5 else rng.uniform(1.0, high)


def _mahalanobis(size: int, sigma_x: float, sigma_y: float, angle: float) -> Kernel:
    """Return the squared distance of every pixel to the centre, in units of the rotated standard deviations."""
    axis = np.arange(size) - size // 2
    x, y = axis[None, :], axis[:, None]
    along = math.cos(angle) * x + math.sin(angle) * y
    across = -math.sin(angle) * x + math.cos(angle) * y
    return (along / sigma_x) ** 2 + (across / sigma_y) ** 2
