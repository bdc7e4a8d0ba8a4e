"""Latents in overlapping tiles: noise predictions are blended with Gaussian weights, as in the published scripts."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from isrbench.harness.errors import UserError

_VARIANCE = 0.01


def check_tile(tile: int, multiple: int) -> None:
    """Check that a UNet halves a tile evenly.

    Args:
        tile: Tile side in latents.
        multiple: What the UNet divides a side by: 2 to the number of its halvings.

    Raises:
        UserError: If it does not.
    """
    if tile < multiple or tile % multiple:
        raise UserError(
            f"tile={tile} does not fit this base, whose UNet divides a side by {multiple}",
            f"set it to a multiple of {multiple}, such as {max(96 // multiple, 1) * multiple}",
        )


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side; the last one is moved back to end at the border.

    Args:
        length: Side in latents.
        tile: Tile side; one that is longer than the side is cut to it.
        overlap: Latents that neighbours share, less than ``tile``.
    """
    if tile >= length:
        return [0]
    stride = tile - overlap
    return [*range(0, length - tile, stride), length - tile]


def gaussian_weights(height: int, width: int) -> Tensor:
    """Weights of one tile: exp(-(x - middle)^2 / (2 * 0.01 * side^2)) along each side, float32 (height, width)."""

    def along(side: int) -> Tensor:
        offset = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
        return torch.exp(-(offset**2) / (2 * _VARIANCE * side**2)) / math.sqrt(2 * math.pi * _VARIANCE)

    return (along(height)[:, None] * along(width)).float()


def in_tiles(predict: Callable[[Tensor], Tensor], latents: Tensor, tile: int, overlap: int) -> Tensor:
    """Apply ``predict`` to the whole latents, or tile by tile where their area is larger than one tile's.

    Tiles run one at a time and are summed in a fixed order, so the result depends on nothing else.

    Args:
        predict: Maps (B, C, h, w) to the same shape.
        latents: (B, C, H, W).
        tile: Tile side in latents.
        overlap: Latents that neighbours share.

    Returns:
        float32 (B, C, H, W).
    """
    height, width = latents.shape[-2:]
    if height * width <= tile * tile:
        return predict(latents).float()
    tall, wide = min(tile, height), min(tile, width)
    weights = gaussian_weights(tall, wide).to(latents.device)
    total = torch.zeros(latents.shape, dtype=torch.float32, device=latents.device)
    weight_sum = torch.zeros(height, width, device=latents.device)
    for top in tile_starts(height, tall, overlap):
        for left in tile_starts(width, wide, overlap):
            window = (..., slice(top, top + tall), slice(left, left + wide))
            total[window] += predict(latents[window]).float() * weights
            weight_sum[window] += weights
    return total / weight_sum
