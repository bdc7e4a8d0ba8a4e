"""Second-order synthetic degradation: HR crops in, realistic LR images out.

The order of operations and the parameters are those of Real-ESRGAN (Wang et al., ICCVW 2021) as the one-step methods
train with them, and of StableSR's milder variant (Wang et al., IJCV 2024); see
:mod:`isrbench.harness.degradation.presets`. Differences, all deliberate:

* JPEG is real (encoded and decoded by Pillow, 4:2:0), where the papers use a differentiable approximation in places.
* The LR stays at its own size; nothing is resized back to the HR size.
* Every draw comes from the image's own seed: the result depends on the image, the preset and the seed only.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from isrbench.harness.degradation import kernels
from isrbench.harness.degradation.kernels import Range
from isrbench.harness.imaging.opening import opened

MODES = ("area", "bilinear", "bicubic")
"""Interpolations a resize draws from, without antialiasing, as in Real-ESRGAN."""


@dataclass(frozen=True)
class Stage:
    """One round of blur, resize, noise and JPEG. Ranges are drawn from uniformly."""

    blur_prob: float
    """Probability that the stage blurs at all (by a kernel or by a sinc filter)."""
    sinc_prob: float
    """Probability that the blur is a sinc filter."""
    blur_sigma: Range
    """Standard deviation in pixels."""
    betag: Range
    """Shape exponent of generalised Gaussian kernels."""
    betap: Range
    """Shape exponent of plateau kernels."""
    resize_prob: tuple[float, float, float]
    """Probabilities of resizing up, down, not at all."""
    resize_range: Range
    """Smallest and largest resize factor: down draws from [low, 1], up from [1, high]."""
    gaussian_prob: float
    """Probability that the noise is Gaussian; else it is Poisson."""
    noise_range: Range
    """Standard deviation of Gaussian noise in grey levels of 255."""
    poisson_range: Range
    """Multiplier of Poisson noise."""
    gray_prob: float
    """Probability that the noise is the same in all three channels."""
    jpeg_range: Range
    """JPEG quality."""


@dataclass(frozen=True)
class Degradation:
    """A complete second-order degradation."""

    first: Stage
    second: Stage
    final_sinc_prob: float
    """Probability of the closing sinc filter."""
    clean_prob: float = 0.0
    """Probability of an LR that is only downsampled (antialiased bicubic)."""
    usm: bool = False
    """Whether the HR is sharpened first; StableSR also trains towards the sharpened HR, see `sharpen`."""


def degrade(hr: Tensor, preset: Degradation, seeds: Sequence[int], scale: int = 4) -> Tensor:
    """Degrade HR images to LR images.

    Args:
        hr: float (B, 3, H, W) in [0, 1]; H and W divisible by ``scale``. Computed on the CPU.
        preset: What to draw from.
        seeds: One non-negative seed an image; alone decides all that is random about it.
        scale: How many times smaller the LR is.

    Returns:
        float32 (B, 3, H / scale, W / scale) in [0, 1], rounded to 8 bits, on ``hr``'s device. Each image is
        bit-identical whatever else is in the batch.

    Raises:
        ValueError: If shapes, scale and the number of seeds do not fit.
    """
    if hr.ndim != 4 or hr.shape[1] != 3 or hr.shape[2] % scale or hr.shape[3] % scale:
        raise ValueError(f"HR must be (B, 3, H, W) with H and W divisible by {scale}, not {tuple(hr.shape)}")
    if len(seeds) != hr.shape[0]:
        raise ValueError(f"{hr.shape[0]} images need as many seeds, not {len(seeds)}")
    # float64: sums in another order, on another processor, then still round to the same 8 bits.
    images = hr.detach().to("cpu", torch.float64)
    with torch.no_grad():
        lr = [_degrade_one(x, preset, np.random.default_rng(s), scale) for x, s in zip(images, seeds, strict=True)]
    return torch.stack(lr).float().to(hr.device)


def sharpen(image: Tensor) -> Tensor:
    """Sharpen as Real-ESRGAN does: weight 0.5 where the residual exceeds 10 grey levels, by a blurred mask.

    Args:
        image: float (3, H, W) in [0, 1] on the CPU.

    Returns:
        (3, H, W) in [0, 1], of the image's type.
    """
    window = kernels.gaussian(8.0, 51)  # the sigma that OpenCV derives from a window of 51
    residual = image - kernels.convolve(image, window)
    mask = kernels.convolve((residual.abs() * 255 > 10).to(image.dtype), window)
    sharp = (image + 0.5 * residual).clamp(0, 1)
    return (mask * sharp + (1 - mask) * image).clamp(0, 1)


def _degrade_one(hr: Tensor, preset: Degradation, rng: np.random.Generator, scale: int) -> Tensor:
    height, width = hr.shape[1] // scale, hr.shape[2] // scale
    clean = rng.random() < preset.clean_prob
    if preset.usm:
        hr = sharpen(hr)
    if clean:
        small = F.interpolate(hr[None], (height, width), mode="bicubic", antialias=True)[0]
        return _grey_levels(small) / 255

    stage = preset.first
    image = _blur(hr, stage, rng)
    factor = _draw_factor(stage, rng)
    image = _resize(image, int(hr.shape[1] * factor), int(hr.shape[2] * factor), rng)
    image = _jpeg(_noise(image, stage, rng), stage, rng)

    stage = preset.second
    image = _blur(image, stage, rng)
    factor = _draw_factor(stage, rng)
    image = _noise(_resize(image, int(height * factor), int(width * factor), rng), stage, rng)
    final = kernels.draw_final_sinc(rng) if rng.random() < preset.final_sinc_prob else None
    filter_first = rng.random() < 0.5
    if not filter_first:
        image = _jpeg(image, stage, rng)
    image = _resize(image, height, width, rng)
    if final is not None:
        image = kernels.convolve(image, final)
    if filter_first:
        image = _jpeg(image, stage, rng)
    return _grey_levels(image) / 255


def _grey_levels(image: Tensor) -> Tensor:
    """Return the image rounded to grey levels 0-255, half to even, in its own type: float64 here.

    Not :func:`isrbench.harness.imaging.images.to_pixels`, which rounds float32 half up: every drawn LR would change.
    """
    return (image.clamp(0, 1) * 255).round()


def _blur(image: Tensor, stage: Stage, rng: np.random.Generator) -> Tensor:
    if rng.random() >= stage.blur_prob:
        return image
    size = kernels.draw_size(rng)
    if rng.random() < stage.sinc_prob:
        return kernels.convolve(image, kernels.draw_stage_sinc(rng, size))
    return kernels.convolve(image, kernels.draw_blur(rng, size, stage.blur_sigma, stage.betag, stage.betap))


def _draw_factor(stage: Stage, rng: np.random.Generator) -> float:
    direction = rng.choice(3, p=stage.resize_prob)
    low, high = stage.resize_range
    return (rng.uniform(1.0, high), rng.uniform(low, 1.0), 1.0)[direction]


def _resize(image: Tensor, height: int, width: int, rng: np.random.Generator) -> Tensor:
    mode = MODES[rng.integers(len(MODES))]
    size = (max(height, 1), max(width, 1))
    if size == tuple(image.shape[1:]):
        return image
    corners = None if mode == "area" else False
    return F.interpolate(image[None], size, mode=mode, align_corners=corners)[0]


def _noise(image: Tensor, stage: Stage, rng: np.random.Generator) -> Tensor:
    gaussian = rng.random() < stage.gaussian_prob
    gray = rng.random() < stage.gray_prob
    amount = rng.uniform(*(stage.noise_range if gaussian else stage.poisson_range))
    if gaussian:
        shape = (1 if gray else 3, *image.shape[1:])
        noise = torch.from_numpy(rng.standard_normal(shape)) * (amount / 255)
    else:
        noise = _poisson(image, gray, rng) * amount
    return (image + noise).clamp(0, 1)


def _poisson(image: Tensor, gray: bool, rng: np.random.Generator) -> Tensor:
    """Draw photon noise of the 8-bit image, at as many levels as it has values (rounded up to a power of 2)."""
    if gray:
        image = (image.new_tensor([0.2989, 0.587, 0.114])[:, None, None] * image).sum(0, keepdim=True)
    rounded = _grey_levels(image)
    levels = 2.0 ** math.ceil(math.log2(int((torch.bincount(rounded.flatten().int()) > 0).sum())))
    rate = (rounded / 255 * levels).numpy()
    return torch.from_numpy((rng.poisson(rate) - rate) / levels).to(image.dtype)


def _jpeg(image: Tensor, stage: Stage, rng: np.random.Generator) -> Tensor:
    quality = round(rng.uniform(*stage.jpeg_range))
    pixels = _grey_levels(image).byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling="4:2:0")
    with opened(buffer.getvalue(), "a degraded image") as decoded:
        values = np.asarray(decoded).astype(np.float64)
    return torch.from_numpy(values).to(image.dtype).permute(2, 0, 1) / 255
