"""What an LR image's spectrum and gradients tell of its degradation: numbers without weights.

Band energies, noise floor, edge sharpness and JPEG grid, measured in windows of one size at the image's own resolution,
so that an image's size decides nothing. FreqOrtho-SR (Hoang et al., ECCV 2026, arXiv 2606.28745) routes by features of
this kind, from an FFT and without parameters; the ones here are our own.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 32
"""Side of the windows in pixels. Smaller images are mirrored up to it."""
HOP = 8
"""Largest distance of neighbouring windows in pixels."""
MOST = 32
"""Windows a side at most; from 280 px on they stand farther apart, from 1024 px on with gaps: the cost is bounded."""
RINGS = (0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375, 0.5, 1.0)
"""Bounds of the frequency bands in cycles per pixel: rings around zero, the last one the corners beyond 1/2."""
FLOOR = 0.1
"""The noise floor of a band is its power in the quietest tenth of the windows: where a photo is flat, noise is left."""
REACH = 5
"""Side of the neighbourhood in pixels in which an edge's slope is compared with its height."""
BLOCK = 8
"""Side of JPEG's blocks."""
ROUNDING = 1 / (12 * 255**2)
"""Power of the rounding to 8 bits, which every LR image has: no logarithm falls below it."""

_PLANES = ("luma", "chroma")
FEATURES = (
    *(f"{plane} {what} {ring}" for plane in _PLANES for what in ("mean", "floor") for ring in range(len(RINGS) - 1)),
    "edge sharpness",
    *(f"{plane} grid" for plane in _PLANES),
)
"""Names of the features, in their order."""


@torch.no_grad()
def features(image: Tensor) -> Tensor:
    """Measure one image.

    Args:
        image: float (3, H, W) in [0, 1], RGB, at the LR's own size; on the CPU.

    Returns:
        float64 (len(FEATURES),), finite. Of each plane (BT.601 luma, and both chroma differences together): log10 of
        each band's mean power over the windows, then of each band's floor. Then :func:`sharpness` of luma, and
        :func:`grid` of each plane.
    """
    image = image.double()
    image = image[:, _mirrored(image.shape[1])][:, :, _mirrored(image.shape[2])]
    luma = torch.einsum("c,chw->hw", torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64), image)
    chroma = torch.stack([0.564 * (image[2] - luma), 0.713 * (image[0] - luma)])
    bands = band_powers(torch.cat([luma[None], chroma]))
    bands = torch.stack([bands[0], bands[1:].mean(0)]) + ROUNDING
    measured = torch.stack([bands.mean(1), torch.quantile(bands, FLOOR, dim=1)], dim=1).log10()
    grids = [grid(luma), torch.stack([grid(plane) for plane in chroma]).mean()]
    return torch.cat([measured.flatten(), torch.stack([sharpness(luma), *grids])])


def band_powers(planes: Tensor) -> Tensor:
    """Return the power of each band in each window, per pixel: Hann windows, their mean removed.

    Args:
        planes: float64 (C, H, W), H and W at least ``WINDOW``.

    Returns:
        (C, N, len(RINGS) - 1); white noise of variance v has v in every band.
    """
    hann = torch.hann_window(WINDOW, dtype=torch.float64)
    taper = hann[:, None] * hann
    share, taper = taper / taper.sum(), taper / taper.square().sum().sqrt()
    rings = _rings()
    rows = []
    for top in starts(planes.shape[1]):  # row by row: all windows at once would take many times the image
        strip = planes[:, top : top + WINDOW]
        windows = torch.stack([strip[..., left : left + WINDOW] for left in starts(planes.shape[2])], dim=1)
        windows = windows - (windows * share).sum((-2, -1), keepdim=True)
        power = torch.fft.rfft2(windows * taper).abs().square()
        rows.append(power.flatten(2) @ rings)
    return torch.cat(rows, dim=1)


def starts(length: int) -> list[int]:
    """Return where the windows along a side of ``length`` >= ``WINDOW`` pixels begin: even, from end to end."""
    count = min(MOST, 1 + -(-(length - WINDOW) // HOP))
    return [0] if count == 1 else [round(i * (length - WINDOW) / (count - 1)) for i in range(count)]


def sharpness(plane: Tensor) -> Tensor:
    """Return how steep the strongest edges are for their height: slope over range, in the tenth with the widest range.

    Contrast cancels out, and flat places do not count.

    Args:
        plane: float64 (H, W), H and W at least ``REACH``.

    Returns:
        A scalar in [0, 0.71]; 0.5 for a step from one pixel to the next, 0 for a constant plane.
    """
    across = (plane[1:-1, 2:] - plane[1:-1, :-2]) / 2
    along = (plane[2:, 1:-1] - plane[:-2, 1:-1]) / 2
    slope = _largest(torch.hypot(across, along), REACH - 2).flatten()
    height = (_largest(plane, REACH) + _largest(-plane, REACH)).flatten()
    strong = height >= height.kthvalue(1 + (9 * (len(height) - 1)) // 10).values
    return slope[strong].sum() / height[strong].sum().clamp(min=1e-9)


def grid(plane: Tensor) -> Tensor:
    """Return how clearly JPEG's grid shows, wherever it begins.

    Within a block JPEG leaves few high frequencies; across its border they are many. So the energy of the upper half
    of an 8-point cosine transform, as a function of where the transform begins, dips where the blocks begin.

    Args:
        plane: float64 (H, W), H and W at least 15.

    Returns:
        A scalar >= 0: the median over the eight places minus the least, in log energy, mean of rows and columns.
    """
    n = torch.arange(BLOCK, dtype=torch.float64)
    basis = torch.cos(math.pi * (n[None] + 0.5) * n[BLOCK // 2 :, None] / BLOCK) / 2
    dips = []
    for lines in (plane, plane.T.contiguous()):
        energy = (lines.unfold(1, BLOCK, 1) @ basis.T).square().mean(-1)
        by_place = torch.log(energy + ROUNDING).mean(0)
        phases = torch.stack([by_place[phase::BLOCK].mean() for phase in range(BLOCK)])
        dips.append(phases.median() - phases.min())
    return torch.stack(dips).mean()


def _largest(plane: Tensor, side: int) -> Tensor:
    """Return the largest value of every ``side`` x ``side`` neighbourhood that lies in the plane."""
    rows = F.max_pool2d(plane[None], (1, side), stride=1)
    return F.max_pool2d(rows, (side, 1), stride=1)[0]


def _mirrored(length: int) -> Tensor:
    """Return indices that mirror a side, as often as it takes, to ``WINDOW`` pixels; a longer one stays as it is."""
    period = max(1, 2 * (length - 1))
    index = torch.arange(max(length, WINDOW)) % period
    return torch.minimum(index, period - index)


def _rings() -> Tensor:
    """Return (WINDOW (WINDOW/2 + 1), bands): each column the mean over one ring of the half spectrum."""
    frequency = torch.fft.rfftfreq(WINDOW, dtype=torch.float64)
    radius = torch.hypot(torch.fft.fftfreq(WINDOW, dtype=torch.float64)[:, None], frequency)
    twice = torch.full((WINDOW, WINDOW // 2 + 1), 2.0, dtype=torch.float64)
    twice[:, [0, -1]] = 1  # the half that is left out mirrors all columns but these
    masks = [((radius >= low) & (radius < high)) * twice for low, high in pairwise(RINGS)]
    return torch.stack([(mask / mask.sum()).flatten() for mask in masks], dim=1)
