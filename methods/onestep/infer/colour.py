"""Colour fixes: give a restored image the colours of its upsampled LR.

Source: the formulas of ``adain`` and ``wavelet`` that StableSR introduced and OSEDiff, PiSA-SR and S3Diff kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from isrbench.methods.onestep.options import ColourFix

_LEVELS = 5


def truncate(image: Tensor) -> Tensor:
    """Cut [0, 1] values down to 8-bit levels, as the published scripts' conversion to PIL does.

    Args:
        image: Values in [0, 1]; those that lie on a level up to rounding errors stay on it.
    """
    return (image * 255 + 1e-3).floor().clamp(0, 255) / 255


def fix_colour(image: Tensor, source: Tensor, kind: ColourFix) -> Tensor:
    """Apply the colour fix ``kind``.

    Args:
        image: float32 (3, H, W) in [0, 1], restored.
        source: The upsampled LR, of the same shape.
        kind: ``adain``, ``wavelet`` or ``none``.

    Returns:
        (3, H, W) in [0, 1].
    """
    if kind == "none":
        return image
    return {"adain": adain, "wavelet": wavelet}[kind](image, source).clamp(0, 1)


def adain(image: Tensor, source: Tensor) -> Tensor:
    """Shift and scale every channel to the source's mean and standard deviation: sqrt(unbiased variance + 1e-5)."""
    mean, std = _statistics(image)
    source_mean, source_std = _statistics(source)
    return (image - mean) / std * source_std + source_mean


def wavelet(image: Tensor, source: Tensor) -> Tensor:
    """Join the image's high frequencies with the source's low ones (five levels, a-trous)."""
    return image - _low(image) + _low(source)


def _statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    flat = image.flatten(1)
    # One pixel has no variance; torch would give NaN.
    variance = flat.var(dim=1) if flat.shape[1] > 1 else torch.zeros_like(flat[:, 0])
    return flat.mean(dim=1)[:, None, None], (variance + 1e-5).sqrt()[:, None, None]


def _low(image: Tensor) -> Tensor:
    """What five dilated binomial blurs leave; the sum of the bands they take away is ``image`` minus this."""
    taps = image.new_tensor([1.0, 2.0, 1.0])
    kernel = (taps[:, None] * taps / 16).expand(image.shape[0], 1, 3, 3)
    low = image[None]
    for level in range(_LEVELS):
        radius = 2**level
        padded = F.pad(low, (radius,) * 4, mode="replicate")
        low = F.conv2d(padded, kernel, groups=image.shape[0], dilation=radius)
    return low[0]
