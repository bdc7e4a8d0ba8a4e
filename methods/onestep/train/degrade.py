"""Training pairs made on the fly: an HR crop, and the LR that a drawn degradation makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.degradation.pipeline import Degradation, degrade
from isrbench.harness.degradation.presets import PRESETS, at_level
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.infer.geometry import resize

SCALE = 4
LEVELS = "levels"
"""The name of the synthetic severity scale, from which a level is drawn uniformly."""


def check_degradations(names: Sequence[str]) -> None:
    """Check that ``names`` can be drawn from.

    Raises:
        UserError: If there is none, or one is unknown.
    """
    known = [*PRESETS, LEVELS]
    if not names:
        raise UserError("no degradation to train on", f"name one or more of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UserError(unknown_name("degradation", name, known))


def draw_degradation(
    names: Sequence[str], rng: np.random.Generator, levels: tuple[float, float] = (0.0, 1.0)
) -> Degradation:
    """Draw one of ``names`` with equal chances; the HR is never sharpened, because it is also the target."""
    name = names[int(rng.integers(len(names)))]
    if name == LEVELS:
        low, high = levels
        return at_level(low + (high - low) * float(rng.random()))
    return replace(PRESETS[name], usm=False)


def make_lr(
    hr: Tensor, names: Sequence[str], rng: np.random.Generator, levels: tuple[float, float] = (0.0, 1.0)
) -> Tensor:
    """Degrade one HR image.

    Args:
        hr: float32 (3, H, W) in [0, 1].
        names: What :func:`draw_degradation` draws from.
        rng: Where every draw comes from.
        levels: The part of the severity scale to draw from.

    Returns:
        float32 (3, H / 4, W / 4) in [0, 1].
    """
    return degrade(hr[None], draw_degradation(names, rng, levels), [int(rng.integers(2**31))], SCALE)[0]


def upsample(lr: Tensor) -> Tensor:
    """Enlarge LRs (B, 3, H, W) in [0, 1] to what the encoder sees, (B, 3, 4H, 4W), exactly as inference does."""
    size = (SCALE * lr.shape[-2], SCALE * lr.shape[-1])
    return torch.stack([resize(image, size) for image in lr]).to(lr.device)
