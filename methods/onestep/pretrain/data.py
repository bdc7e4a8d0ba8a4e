"""Training pairs of the tiny base's pretraining, degraded and encoded once, and the windows cut from them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isrbench.harness.identity import tensors_hash
from isrbench.harness.imaging.images import read_photo
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.pretrain.loop import Stage
from isrbench.methods.onestep.train.data import find_images, random_crop, stack
from isrbench.methods.onestep.train.degrade import make_lr, upsample
from isrbench.methods.onestep.train.draws import stream

log = logging.getLogger(__name__)

SIDE = 40
"""Side in latents of an encoded crop, the largest window."""
DRAWS = 30
"""Crops of a photo."""


@dataclass(frozen=True)
class Pairs:
    """Training pairs that were degraded and encoded once; N pairs of ``size`` px."""

    pixels: Tensor
    """uint8 (N, 3, size, size): the HR crops."""
    hr: Tensor
    """float32 (N, 16, size / 4, size / 4): their scaled latents."""
    lr: Tensor
    """float32, as ``hr``: the scaled latents of the degraded, enlarged crops."""


def cached_pairs(stage: Stage, base: DiffusionBase, names: Sequence[str]) -> Pairs:
    """Return the stage's pairs; encoding takes minutes, so they are kept in ``out`` for an interrupted or later stage.

    A file of 0.3 MB a pair, 8 MB a photo; twice that in memory while it is made.

    Photos, degradations, seed and autoencoder are in the file's name: others never get these pairs.

    Args:
        stage: Data, seed and place.
        base: Its autoencoder encodes.
        names: Degradations to draw from.
    """
    digest = hashlib.sha256(repr((list(names), stage.seed, DRAWS, SIDE, "turned")).encode())
    for path in find_images(stage.data):
        digest.update(path.read_bytes())
    digest.update(tensors_hash(base.vae.state_dict()).encode())
    cache = stage.out / f"pairs-{digest.hexdigest()[:12]}.pt"
    if not cache.exists():
        part = cache.with_suffix(".tmp")
        torch.save(vars(encode_pairs(stage, base, names)), part)
        part.replace(cache)
    return Pairs(**torch.load(cache, weights_only=True))


@torch.no_grad()
def encode_pairs(stage: Stage, base: DiffusionBase, names: Sequence[str], size: int = 4 * SIDE) -> Pairs:
    """Cut ``DRAWS`` random crops of every photo, turn and degrade each once, and encode both.

    Args:
        stage: Data and seed.
        base: Its autoencoder encodes.
        names: Degradations to draw from.
        size: Side of a crop in pixels.
    """
    images = [read_photo(path) for path in find_images(stage.data)]
    pixels, latents = [], []
    for n in range(DRAWS * len(images)):
        rng = stream(stage.seed, 1, n)
        crop = np.rot90(random_crop(images[n % len(images)], size, rng), int(rng.integers(4))).copy()
        hr = stack([crop])
        pair = torch.cat([hr, upsample(make_lr(hr[0], names, rng)[None])])
        z = base.encode((pair * 2 - 1).contiguous(memory_format=torch.channels_last))
        pixels.append(torch.from_numpy(crop).permute(2, 0, 1))
        latents.append(z)
        if n % 500 == 0:
            log.info("latents %d/%d", n, DRAWS * len(images))
    hr, lr = torch.stack(latents, dim=1)
    return Pairs(torch.stack(pixels), hr, lr)


def cut_windows(pairs: Pairs, batch: int, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Cut ``batch`` random windows of ``size`` latents.

    Returns:
        HR pixels uint8 (B, 3, 4 size, 4 size), HR latents and LR latents (B, 16, size, size).
    """
    room = pairs.hr.shape[-1] - size + 1
    picks = [(rng.integers(len(pairs.hr)), *rng.integers(room, size=2)) for _ in range(batch)]
    cut = [
        torch.stack([part[n, :, f * y : f * (y + size), f * x : f * (x + size)] for n, y, x in picks])
        for part, f in ((pairs.pixels, 4), (pairs.hr, 1), (pairs.lr, 1))
    ]
    return cut[0], cut[1], cut[2]


def middle(x: Tensor, size: int) -> Tensor:
    """Cut the middle ``size`` x ``size`` of (B, C, H, W)."""
    top, left = (x.shape[-2] - size) // 2, (x.shape[-1] - size) // 2
    return x[..., top : top + size, left : left + size]
