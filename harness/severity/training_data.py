"""Degraded crops with known severities: what the severity estimators that ship are fitted to.

Half of the windows suffer from blur, noise, low resolution and JPEG drawn *independently*, so that the dimensions come
to mean what they say; the other half from the second-order degradation at a random level. What is not known by
construction is measured against the clean window or left out.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from isrbench.harness.degradation import kernels
from isrbench.harness.degradation.pipeline import degrade
from isrbench.harness.degradation.presets import at_level
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.listing import list_images
from isrbench.harness.imaging.opening import opened
from isrbench.harness.imaging.photos import read_photos
from isrbench.harness.severity.dimensions import DIMENSIONS

SIZE = 24
"""Input side: the LR of a 96 px training crop."""
MARGIN = 4
"""Pixels around a crop that are degraded and then cut off, so that no border effect gives the level away."""
GRID = 2
"""One degraded image gives GRID x GRID crops: most of the cost of a sample is drawing the degradation."""
REDUCTIONS = (3, 4, 4, 5)
"""HR-to-LR factors drawn from: the same photo at another scale, so that content does not decide severity."""
SMALLEST = (GRID * SIZE + 2 * MARGIN) * max(REDUCTIONS)
"""Smallest side of a training photo in pixels."""
WORST = {"blur": 1.6, "noise": 40.0, "resolution": 3.0, "compression": 20.0}
"""What severity 1 means: Gaussian sigma in LR pixels, sigma in grey levels, reduction factor, JPEG quality."""


def read_images(folders: list[Path]) -> list[Tensor]:
    """Read all photos of the folders as float32 (3, H, W) in [0, 1], in the order of their names.

    Raises:
        UserError: If a folder holds no image, or one that is unreadable or too small for a crop.
    """
    images = []
    for folder in folders:
        paths = list_images(folder, tell=True) if folder.is_dir() else []
        if not paths:
            raise UserError(f"no images in {folder}", "pass folders of photos with --data")
        for path, pixels in zip(paths, read_photos(paths), strict=True):
            if min(pixels.shape[:2]) < SMALLEST:
                raise UserError(f"{path} is smaller than {SMALLEST} px", "leave it out")
            images.append(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)
    return images


def draw_sample(image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Degrade one random window and cut it into crops.

    Args:
        image: float32 (3, H, W) photo.
        rng: Source of every draw.

    Returns:
        GRID^2 crops, float32 (GRID^2, 3, SIZE, SIZE), and their targets (GRID^2, 7) in [0, 1], NaN where unknown.
    """
    scale = int(rng.choice(REDUCTIONS))
    side = (GRID * SIZE + 2 * MARGIN) * scale
    top, left = (int(rng.integers(length - side + 1)) for length in image.shape[1:])
    hr = torch.rot90(image[:, top : top + side, left : left + side], int(rng.integers(4)), (1, 2))[rng.permutation(3)]
    clean = F.interpolate(hr[None], (side // scale,) * 2, mode="bicubic", antialias=True)[0].clamp(0, 1)
    if rng.random() < 0.5:
        level = float(rng.random())
        lr, known = degrade_twice(hr, level, scale, rng)
    else:
        lr, known = degrade_apart(clean, rng)
    crops, targets = [], []
    for row in range(GRID):
        for column in range(GRID):
            y, x = (MARGIN + SIZE * i for i in (row, column))
            pair = [image[:, y : y + SIZE, x : x + SIZE] for image in (lr, clean)]
            target = {**known, "edges": edge_loss(*pair), "detail": detail_loss(*pair)}
            crops.append(pair[0])
            targets.append([target.get(name, math.nan) for name in DIMENSIONS])
    return torch.stack(crops), torch.tensor(targets)


def degrade_twice(hr: Tensor, level: float, scale: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
    """Degrade by the second-order synthesis at a level.

    Half of the time all noise is Gaussian; then the same draws without the noise give a twin of the LR image, and the
    difference of the two is the noise that is left in it after blur, resizing and JPEG.

    Returns:
        The LR image, and the severities of quality (the level) and, where it could be measured, noise.
    """
    preset, seed = at_level(level), [int(rng.integers(2**62))]
    if rng.random() < 0.5:
        return degrade(hr[None], preset, seed, scale)[0], {"quality": level}
    noisy, quiet = (
        replace(
            preset,
            first=replace(preset.first, gaussian_prob=1.0, **change),
            second=replace(preset.second, gaussian_prob=1.0, **change),
        )
        for change in ({}, {"noise_range": (0.0, 0.0)})
    )
    lr, twin = (degrade(hr[None], variant, seed, scale)[0] for variant in (noisy, quiet))
    left = float((lr - twin).square().mean().sqrt()) * 255 / WORST["noise"]
    return lr, {"quality": level, "noise": min(1.0, left**0.5)}


def degrade_apart(clean: Tensor, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
    """Degrade an LR image by each known dimension independently, each absent half of the time.

    Returns:
        The degraded image, 8-bit values, and the severities of quality, blur, noise, resolution and compression.
    """
    u = {name: float(rng.random()) if rng.random() < 0.5 else 0.0 for name in WORST}
    overall = 1 - math.prod(1 - 0.75 * v for v in u.values())
    return degrade_by(clean, u, rng), {"quality": overall, **u}


def degrade_by(clean: Tensor, strengths: Mapping[str, float], rng: np.random.Generator) -> Tensor:
    """Degrade an LR image by known strengths.

    Args:
        clean: float32 (3, H, W) in [0, 1].
        strengths: Of each name in ``WORST``, in [0, 1]; 0 leaves it out.
        rng: Source of the noise and of the way of enlarging.

    Returns:
        float32 (3, H, W), 8-bit values in [0, 1].
    """
    x, u = clean, strengths
    if u["blur"] > 0.05:
        x = kernels.convolve(x, kernels.gaussian(WORST["blur"] * u["blur"], 15))
    if u["resolution"] > 0:
        factor = 1 + (WORST["resolution"] - 1) * u["resolution"]
        sides = [max(1, round(side / factor)) for side in x.shape[1:]]
        down = F.interpolate(x[None], sides, mode="bilinear", antialias=True)
        mode = ("nearest", "bilinear", "bicubic")[rng.integers(3)]
        x = F.interpolate(down, tuple(x.shape[1:]), mode=mode)[0]
    # The eye answers to noise about as the root of its strength.
    channels = 1 if rng.random() < 0.4 else 3
    noise = torch.from_numpy(rng.standard_normal((channels, *x.shape[1:]), dtype=np.float32))
    x = (x + noise * (WORST["noise"] / 255 * u["noise"] ** 2)).clamp(0, 1)
    pixels = (x * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    if u["compression"] > 0:
        buffer = io.BytesIO()
        quality = round(95 - (95 - WORST["compression"]) * u["compression"])
        Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling="4:2:0")
        with opened(buffer.getvalue(), "a degraded image") as decoded:
            pixels = np.array(decoded)
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def edge_loss(lr: Tensor, clean: Tensor) -> float:
    """Return the share of the clean crop's gradient that is gone, in [0, 1]: how much softer its edges are."""
    before, after = (_gradient(x.mean(0)) for x in (clean, lr))
    return float(1 - torch.minimum(before, after).sum() / before.sum().clamp(min=1e-6))


def detail_loss(lr: Tensor, clean: Tensor) -> float:
    """Return 1 - the correlation of the crops' fine detail (high-pass), in [0, 1]; NaN where the clean one has none."""
    before, after = (x.mean(0) - kernels.convolve(x, kernels.gaussian(1.0, 7)).mean(0) for x in (clean, lr))
    if before.std() < 2 / 255:
        return math.nan
    return float(1 - torch.corrcoef(torch.stack([before.flatten(), after.flatten()])).nan_to_num()[0, 1].clamp(0, 1))


def _gradient(gray: Tensor) -> Tensor:
    return torch.hypot(gray[1:, 1:] - gray[:-1, 1:], gray[1:, 1:] - gray[1:, :-1])
