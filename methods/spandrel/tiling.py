"""Restoring in tiles that overlap, blended so that no seam shows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles start along one axis: even steps, the last one moved back to end at the border."""
    if tile >= length:
        return [0]
    step = tile - overlap
    return [*range(0, length - tile, step), length - tile]


def restore_tiled(network: Callable[[Tensor], Tensor], lr: Tensor, scale: int, tile: int, overlap: int) -> Tensor:
    """Restore ``lr`` tile by tile; where tiles overlap, weights ramp linearly from one to the other.

    Args:
        network: (1, 3, h, w) to (1, 3, scale*h, scale*w).
        lr: (1, 3, H, W).
        scale: Upscaling factor.
        tile: Side of a tile in LR pixels, at least 1.
        overlap: LR pixels that two neighbours share, at most half of ``tile``.

    Returns:
        (1, 3, scale*H, scale*W), in float32.
    """
    height, width = lr.shape[2:]
    rows, columns = min(tile, height), min(tile, width)
    weight = _ramp(rows, overlap, scale, lr.device)[:, None] * _ramp(columns, overlap, scale, lr.device)[None, :]
    total = torch.zeros(1, 3, height * scale, width * scale, device=lr.device)
    weights = torch.zeros(height * scale, width * scale, device=lr.device)
    for top in tile_starts(height, tile, overlap):
        for left in tile_starts(width, tile, overlap):
            restored = network(lr[:, :, top : top + rows, left : left + columns]).float()
            y = slice(top * scale, (top + rows) * scale)
            x = slice(left * scale, (left + columns) * scale)
            total[:, :, y, x] += restored * weight
            weights[y, x] += weight
    return total / weights


def _ramp(length: int, overlap: int, scale: int, device: torch.device) -> Tensor:
    """Weights along one axis of an HR tile: up from the border over the overlap, 1 in between; nowhere 0."""
    places = torch.arange(length * scale, device=device) + 0.5
    distance = torch.minimum(places, length * scale - places)
    return (distance / max(overlap * scale, 1)).clamp(max=1)
