"""The parameters that LR images are drawn from: published ones, our own, and a scale of severity between two ends."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

from isrbench.harness.degradation.pipeline import Degradation, Stage

T = TypeVar("T")

REALESRGAN = Degradation(
    first=Stage(
        blur_prob=1.0, sinc_prob=0.1, blur_sigma=(0.2, 3.0), betag=(0.5, 4.0), betap=(1.0, 2.0),
        resize_prob=(0.2, 0.7, 0.1), resize_range=(0.15, 1.5), gaussian_prob=0.5, noise_range=(1.0, 30.0),
        poisson_range=(0.05, 3.0), gray_prob=0.4, jpeg_range=(30.0, 95.0),
    ),
    second=Stage(
        blur_prob=0.8, sinc_prob=0.1, blur_sigma=(0.2, 1.5), betag=(0.5, 4.0), betap=(1.0, 2.0),
        resize_prob=(0.3, 0.4, 0.3), resize_range=(0.3, 1.2), gaussian_prob=0.5, noise_range=(1.0, 25.0),
        poisson_range=(0.05, 2.5), gray_prob=0.4, jpeg_range=(30.0, 95.0),
    ),
    final_sinc_prob=0.8,
)  # fmt: skip
"""Real-ESRGAN's own parameters, which OSEDiff trains with."""

STABLESR = Degradation(
    first=Stage(
        blur_prob=1.0, sinc_prob=0.1, blur_sigma=(0.2, 1.5), betag=(0.5, 2.0), betap=(1.0, 1.5),
        resize_prob=(0.2, 0.7, 0.1), resize_range=(0.3, 1.5), gaussian_prob=0.5, noise_range=(1.0, 15.0),
        poisson_range=(0.05, 2.0), gray_prob=0.4, jpeg_range=(60.0, 95.0),
    ),
    second=Stage(
        blur_prob=0.5, sinc_prob=0.1, blur_sigma=(0.2, 1.0), betag=(0.5, 2.0), betap=(1.0, 1.5),
        resize_prob=(0.3, 0.4, 0.3), resize_range=(0.6, 1.2), gaussian_prob=0.5, noise_range=(1.0, 12.0),
        poisson_range=(0.05, 1.0), gray_prob=0.4, jpeg_range=(60.0, 100.0),
    ),
    final_sinc_prob=0.8,
    clean_prob=0.01,
    usm=True,
)  # fmt: skip
"""StableSR's milder parameters; S3Diff uses the same without the sharpening (`dataclasses.replace(..., usm=False)`)."""

CAMERA = Degradation(
    first=Stage(
        blur_prob=1.0, sinc_prob=0.0, blur_sigma=(1.0, 4.0), betag=(0.5, 2.0), betap=(1.0, 1.5),
        resize_prob=(0.0, 0.0, 1.0), resize_range=(1.0, 1.0), gaussian_prob=0.5, noise_range=(0.0, 1.0),
        poisson_range=(0.0, 0.05), gray_prob=0.4, jpeg_range=(95.0, 100.0),
    ),
    second=Stage(
        blur_prob=0.0, sinc_prob=0.0, blur_sigma=(0.2, 1.0), betag=(0.5, 2.0), betap=(1.0, 1.5),
        resize_prob=(0.0, 0.0, 1.0), resize_range=(1.0, 1.0), gaussian_prob=0.5, noise_range=(0.0, 2.0),
        poisson_range=(0.0, 0.1), gray_prob=0.4, jpeg_range=(90.0, 100.0),
    ),
    final_sinc_prob=0.1,
    clean_prob=0.15,
)  # fmt: skip
"""What a lens and a good camera do: blur, hardly any noise, light compression. Our own: the two presets above nearly
always add noise, and a small network that has seen nothing else takes a clean photo's fine texture for noise."""

PRESETS = {"realesrgan": REALESRGAN, "stablesr": STABLESR, "camera": CAMERA}
"""Degradations by the names that options and cards use."""

_LEAST = Degradation(
    first=Stage(
        blur_prob=1.0, sinc_prob=0.0, blur_sigma=(0.2, 0.3), betag=(0.5, 4.0), betap=(1.0, 2.0),
        resize_prob=(0.0, 0.0, 1.0), resize_range=(0.9, 1.1), gaussian_prob=0.5, noise_range=(0.0, 0.5),
        poisson_range=(0.0, 0.02), gray_prob=0.4, jpeg_range=(97.0, 100.0),
    ),
    second=Stage(
        blur_prob=1.0, sinc_prob=0.0, blur_sigma=(0.2, 0.3), betag=(0.5, 4.0), betap=(1.0, 2.0),
        resize_prob=(0.0, 0.0, 1.0), resize_range=(0.9, 1.1), gaussian_prob=0.5, noise_range=(0.0, 0.5),
        poisson_range=(0.0, 0.02), gray_prob=0.4, jpeg_range=(97.0, 100.0),
    ),
    final_sinc_prob=0.0,
)  # fmt: skip
"""Severity level 0: hardly more than the downsampling."""

_MOST = Degradation(
    first=Stage(
        blur_prob=1.0, sinc_prob=0.1, blur_sigma=(2.0, 4.0), betag=(0.5, 4.0), betap=(1.0, 2.0),
        resize_prob=(0.0, 0.9, 0.1), resize_range=(0.12, 1.1), gaussian_prob=0.5, noise_range=(20.0, 45.0),
        poisson_range=(2.0, 4.0), gray_prob=0.4, jpeg_range=(20.0, 40.0),
    ),
    second=Stage(
        blur_prob=1.0, sinc_prob=0.1, blur_sigma=(1.0, 2.5), betag=(0.5, 4.0), betap=(1.0, 2.0),
        resize_prob=(0.0, 0.9, 0.1), resize_range=(0.25, 1.1), gaussian_prob=0.5, noise_range=(15.0, 35.0),
        poisson_range=(1.5, 3.0), gray_prob=0.4, jpeg_range=(20.0, 40.0),
    ),
    final_sinc_prob=0.8,
)  # fmt: skip
"""Severity level 1: worse than nearly everything that `REALESRGAN` draws."""

LEVELS = {"mild": 0.2, "medium": 0.5, "severe": 0.8}
"""The named severity levels of the sample set: what they stand for is ``at_level(LEVELS[name])``."""


def at_level(level: float) -> Degradation:
    """Return the degradation of a severity level: every parameter on the straight line from level 0 to level 1.

    Level 0 hardly does more than downsample, level 1 is worse than nearly everything that `REALESRGAN` draws. The
    two ends' ranges hardly overlap, so that the level decides most of the severity and the draws little.

    Raises:
        ValueError: If ``level`` is outside [0, 1].
    """
    if not 0.0 <= level <= 1.0:
        raise ValueError(f"a severity level lies in [0, 1], not {level}")
    return _blend(_LEAST, _MOST, level)


def _blend(least: T, most: T, weight: float) -> T:
    """Interpolate two values of one type, tuples and dataclasses part by part."""
    if isinstance(least, bool):
        return least
    if isinstance(least, float):
        return (1 - weight) * least + weight * most  # type: ignore[operator, return-value]
    if isinstance(least, tuple):
        return tuple(_blend(a, b, weight) for a, b in zip(least, most, strict=True))  # type: ignore
    parts = {f.name: _blend(getattr(least, f.name), getattr(most, f.name), weight) for f in dataclasses.fields(least)}  # type: ignore
    return type(least)(**parts)
