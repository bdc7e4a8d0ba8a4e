"""Large images in tiles that overlap: where tiles start, how they are weighted, and their blend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Size = tuple[int, int]
"""(height, width)."""
_VARIANCE = 0.01
"""Of the Gaussian weights, in units of the squared side."""


@dataclass(frozen=True)
class TileOptions:
    """How an image is tiled: the options of a method that blends tiles with :func:`run_in_tiles`."""

    tile: int = field(default=0, metadata={"help": "side of a tile in LR pixels; 0 = the whole image at once"})
    overlap: int = field(default=16, metadata={"help": "LR pixels that neighbouring tiles share and are blended over"})

    def __post_init__(self) -> None:
        if self.tile < 0 or self.overlap < 0:
            raise UserError("options 'tile' and 'overlap' have to be 0 or more", "write -o tile=256 -o overlap=16")
        if self.tile and 2 * self.overlap > self.tile:
            raise UserError(
                f"option 'overlap' is {self.overlap}, more than half of tile={self.tile}",
                f"write -o overlap={self.tile // 4}",
            )


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where tiles start along one side: in even steps, the last one moved back to end at the border.

    Args:
        length: The side.
        tile: Side of a tile; one that is longer than ``length`` is cut to it.
        overlap: What neighbours share, less than ``tile``.
    """
    if tile >= length:
        return [0]
    return [*range(0, length - tile, tile - overlap), length - tile]


def ramp_weights(tile: Size, overlap: int, scale: int = 1, device: torch.device | None = None) -> Tensor:
    """Return weights that rise linearly from a tile's border over the overlap and are 1 in between; nowhere 0.

    Args:
        tile: Size of a tile before scaling.
        overlap: What neighbours share, before scaling.
        scale: How many times larger the processed tile is.
        device: Where the weights go.

    Returns:
        float32 (scale * height, scale * width).
    """
    import torch

    def along(length: int) -> Tensor:
        places = torch.arange(length * scale, device=device) + 0.5
        distance = torch.minimum(places, length * scale - places)
        return (distance / max(overlap * scale, 1)).clamp(max=1)

    return along(tile[0])[:, None] * along(tile[1])[None, :]


def gaussian_weights(tile: Size, device: torch.device | None = None) -> Tensor:
    """Return the weights exp(-(x - middle)^2 / (2 * 0.01 * side^2)) along each side, as diffusion upscalers use them.

    Returns:
        float32 (height, width).
    """
    import torch

    def along(side: int) -> Tensor:
        offset = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
        return torch.exp(-(offset**2) / (2 * _VARIANCE * side**2)) / math.sqrt(2 * math.pi * _VARIANCE)

    return (along(tile[0])[:, None] * along(tile[1])).float().to(device)


def blend_tiles(
    process: Callable[[Tensor], Tensor], image: Tensor, tile: Size, overlap: int, weights: Tensor, scale: int = 1
) -> Tensor:
    """Process an image tile by tile and average where tiles overlap.

    Tiles run one at a time and are summed in a fixed order, so the result depends on nothing else.

    Args:
        process: Maps (B, C, h, w) to (B, D, scale * h, scale * w).
        image: (B, C, H, W).
        tile: Size of a tile, at most the image's.
        overlap: What neighbours share.
        weights: (scale * height, scale * width) of a tile, positive.
        scale: How many times larger the result is.

    Returns:
        float32 (B, D, scale * H, scale * W).
    """
    import torch

    height, width = image.shape[-2:]
    rows, columns = tile
    total: Tensor | None = None
    weight_sum = torch.zeros(height * scale, width * scale, device=image.device)
    for top in tile_starts(height, rows, overlap):
        for left in tile_starts(width, columns, overlap):
            done = process(image[..., top : top + rows, left : left + columns]).float()
            if total is None:
                total = done.new_zeros(*done.shape[:-2], height * scale, width * scale)
            y, x = slice(top * scale, (top + rows) * scale), slice(left * scale, (left + columns) * scale)
            total[..., y, x] += done * weights
            weight_sum[y, x] += weights
    assert total is not None
    return total / weight_sum


def run_in_tiles(process: Callable[[Tensor], Tensor], image: Tensor, options: TileOptions, scale: int) -> Tensor:
    """Process an image as its options say: at once, or in tiles that are blended over linear ramps.

    Args:
        process: Maps (B, C, h, w) to (B, D, scale * h, scale * w).
        image: (B, C, H, W).
        options: Side and overlap.
        scale: How many times larger the result is.

    Returns:
        (B, D, scale * H, scale * W), float32 where it was tiled.
    """
    if not options.tile:
        return process(image)
    _, tile = count_tiles(image.shape[-2], image.shape[-1], options)
    weights = ramp_weights(tile, options.overlap, scale, image.device)
    return blend_tiles(process, image, tile, options.overlap, weights, scale)


def count_tiles(height: int, width: int, options: TileOptions) -> tuple[int, Size]:
    """Return how many tiles :func:`run_in_tiles` makes of an image, and their size."""
    tile, overlap = options.tile, options.overlap
    if not tile:
        return 1, (height, width)
    count = len(tile_starts(height, tile, overlap)) * len(tile_starts(width, tile, overlap))
    return count, (min(tile, height), min(tile, width))
