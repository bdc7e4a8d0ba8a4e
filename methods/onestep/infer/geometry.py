"""The sizes that one image passes through: enlarged where it is too small, upscaled, padded, cropped, shrunk back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.tiling import Size
from isrbench.methods.onestep.options import Enlarging

_LONGEST = 8
"""The enlarged long side is at most this many times the smallest side: a 1 x 1000 image must not become a wall."""


@dataclass(frozen=True)
class Geometry:
    """One image's sizes."""

    upscaled: Size
    """What the VAE's input shows, without padding."""
    padded: Size
    """What goes into the VAE."""
    result: Size
    """What comes out: scale times the LR."""


def plan(height: int, width: int, scale: int, process_size: int, multiple: int) -> Geometry:
    """Plan the sizes for one LR image.

    Args:
        height: LR pixels.
        width: LR pixels.
        scale: Upscaling factor.
        process_size: Smallest side of the upscaled image; LRs below process_size // scale are enlarged first.
        multiple: What padded sides are divisible by.
    """
    smallest = process_size // scale
    grow = 1.0
    if min(height, width) < smallest:
        grow = max(1.0, min(smallest / min(height, width), _LONGEST * smallest / max(height, width)))
    # Rounded down, as OSEDiff does; never to nothing, since nothing shrinks here.
    upscaled = (int(height * grow) * scale, int(width * grow) * scale)
    padded = (-(-upscaled[0] // multiple) * multiple, -(-upscaled[1] // multiple) * multiple)
    return Geometry(upscaled, padded, (height * scale, width * scale))


def upscale(lr: Tensor, geometry: Geometry, scale: int, kind: Enlarging = "pillow") -> Tensor:
    """Enlarge an LR to what goes into the VAE, padding aside.

    ``pillow`` does it as OSEDiff does: :func:`resize`, first to the least size, then by the scale. ``bicubic`` and
    ``bilinear`` are torch's, at once, corners not aligned; bicubic overshoots, which is left as it is.

    Args:
        lr: float (3, H, W) in [0, 1].
        geometry: This image's sizes.
        scale: Upscaling factor.
        kind: One of the three.

    Returns:
        float32 (3, *geometry.upscaled), on the CPU; of ``pillow`` in [0, 1] on 8-bit levels.
    """
    height, width = geometry.upscaled
    if kind != "pillow":
        return F.interpolate(lr.float().cpu()[None], (height, width), mode=kind, align_corners=False)[0]
    if geometry.upscaled != geometry.result:
        lr = resize(lr, (height // scale, width // scale))
    return resize(lr, (height, width))


def resize(image: Tensor, size: Size) -> Tensor:
    """Resize by Pillow's bicubic on 8-bit pixels: how this family enlarges LRs in training too.

    Args:
        image: float (3, H, W) in [0, 1]; rounded to 8 bits.
        size: (height, width).

    Returns:
        float32 (3, *size) in [0, 1], on 8-bit levels, on the CPU.
    """
    pixels = (image.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    whole = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    resized = np.array(whole.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return torch.from_numpy(resized).permute(2, 0, 1).float() / 255


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


def pad(image: Tensor, size: Size) -> Tensor:
    """Pad (3, H, W) below and to the right by reflection, as often as it takes, so that any size will do."""
    rows, columns = (_mirrored(side, total) for side, total in zip(image.shape[-2:], size, strict=True))
    return image[:, rows][:, :, columns]


def _mirrored(side: int, total: int) -> Tensor:
    period = max(2 * (side - 1), 1)
    position = torch.arange(total) % period
    return torch.minimum(position, period - position) if side > 1 else torch.zeros(total, dtype=torch.long)
