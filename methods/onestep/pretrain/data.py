"""Training pairs of the tiny base's pretraining, degraded and encoded once, and the windows cut from them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from isrbench.harness.identity import tensors_hash
from isrbench.harness.imaging.photos import read_photos
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
_ENCODED = 20
"""Pairs that are encoded at once."""


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
    if cache.exists():
        pairs = torch.load(cache, map_location=stage.device, weights_only=True)
    else:
        pairs = vars(encode_pairs(stage, base, names))
        part = cache.with_suffix(".tmp")
        torch.save(pairs, part)
        part.replace(cache)
    return Pairs(**{name: tensor.to(stage.device) for name, tensor in pairs.items()})


class _Crops(Dataset):
    """Random crops of photos, turned, and what a degradation leaves of them; each by its number and the seed alone."""

    def __init__(self, images: list[np.ndarray], names: Sequence[str], seed: int, size: int) -> None:
        self._images, self._names, self._seed, self._size = images, names, seed, size

    def __len__(self) -> int:
        return DRAWS * len(self._images)

    def __getitem__(self, n: int) -> tuple[Tensor, Tensor]:
        """The crop, uint8 (3, size, size), and its LR enlarged, float32 in [0, 1]."""
        rng = stream(self._seed, 1, n)
        crop = np.rot90(random_crop(self._images[n % len(self._images)], self._size, rng), int(rng.integers(4))).copy()
        lr = make_lr(stack([crop])[0], self._names, rng)
        return torch.from_numpy(crop).permute(2, 0, 1), upsample(lr[None])[0]


@torch.no_grad()
def encode_pairs(stage: Stage, base: DiffusionBase, names: Sequence[str], size: int = 4 * SIDE) -> Pairs:
    """Cut ``DRAWS`` random crops of every photo, turn and degrade each once, and encode both.

    Args:
        stage: Data, seed, workers and device.
        base: Its autoencoder encodes.
        names: Degradations to draw from.
        size: Side of a crop in pixels.

    Returns:
        The pairs, on the CPU.
    """
    crops = _Crops(list(read_photos(find_images(stage.data))), names, stage.seed, size)
    pixels, latents = [], []
    for hr, lr in DataLoader(crops, batch_size=_ENCODED, num_workers=stage.workers):
        both = torch.cat([hr / 255, lr]).to(base.device) * 2 - 1
        pixels.append(hr)
        latents.append(base.encode(both.contiguous(memory_format=torch.channels_last)).cpu().unflatten(0, (2, -1)))
        if len(pixels) % 50 == 0:
            log.info("latents %d/%d", _ENCODED * len(pixels), len(crops))
    hr, lr = torch.cat(latents, dim=1)
    return Pairs(torch.cat(pixels), hr, lr)


def cut_windows(pairs: Pairs, batch: int, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Cut ``batch`` random windows of ``size`` latents.

    Returns:
        HR pixels uint8 (B, 3, 4 size, 4 size), HR latents and LR latents (B, 16, size, size), where the pairs are.
    """
    room = pairs.hr.shape[-1] - size + 1
    picks = np.array([(rng.integers(len(pairs.hr)), *rng.integers(room, size=2)) for _ in range(batch)])
    n, y, x = torch.from_numpy(picks).to(pairs.hr.device).T

    def cut(part: Tensor, factor: int) -> Tensor:
        along = torch.arange(factor * size, device=part.device)
        rows, columns = (factor * at[:, None] + along for at in (y, x))
        return part[n[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    return cut(pairs.pixels, 4), cut(pairs.hr, 1), cut(pairs.lr, 1)


def middle(x: Tensor, size: int) -> Tensor:
    """Cut the middle ``size`` x ``size`` of (B, C, H, W)."""
    top, left = (x.shape[-2] - size) // 2, (x.shape[-1] - size) // 2
    return x[..., top : top + size, left : left + size]
