"""All randomness of a training step, drawn per item, so that no split of the work can change it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isrbench.methods.onestep.train.config import TIMESTEPS, Losses

_STEP = 21


def stream(*key: int) -> np.random.Generator:
    """Return the random stream of one event, such as (seed, step): the same whatever was drawn before."""
    return np.random.default_rng(key)


@dataclass(frozen=True)
class Diffused:
    """Where and with what latents are noised."""

    t: Tensor
    """int64 (B,) timesteps."""
    noise: Tensor
    """float32 (B, C, h, w)."""


@dataclass(frozen=True)
class Draws:
    """The draws of one micro-batch."""

    encode: Tensor
    """float32 (B, C, h, w): the noise with which the encoder's posterior is sampled."""
    vsd: Diffused
    regulariser: Diffused
    """Any timestep."""
    features: Diffused
    """For the discriminator's and the perceptual features; real and generated latents share them."""


def draw(seed: int, items: Tensor, shape: tuple[int, int, int], losses: Losses, device: torch.device) -> Draws:
    """Draw for each item from (seed, item) alone.

    Args:
        seed: The run's seed.
        items: int64 (B,), the items' numbers.
        shape: (C, h, w) of one latent.
        losses: The ranges of the timesteps.
        device: Where the draws go.
    """
    ranges = (losses.vsd_t, (0, TIMESTEPS), losses.gan_t)
    noises, steps = [], []
    for item in items.tolist():
        rng = stream(seed, _STEP, item)
        noises.append(rng.standard_normal((4, *shape), dtype=np.float32))
        steps.append([int(rng.integers(low, high)) for low, high in ranges])
    noise = torch.from_numpy(np.stack(noises, axis=1)).to(device)
    t = torch.tensor(steps).T.to(device)
    return Draws(noise[0], *(Diffused(t[i], noise[i + 1]) for i in range(3)))
