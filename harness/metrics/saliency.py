"""VSI on 8-bit RGB arrays, without torch: saliency at 256x256, and everything else at the size that is compared."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isrbench.harness.api.metric import ImageMetric

    Plane = NDArray[np.float64]

_SIDE = 256
"""Sides of the image that saliency is computed on, and about the short side of those that are compared."""
_C1, _C2, _C3 = 1.27, 386.0, 130.0
_ALPHA, _BETA = 0.4, 0.02
"""Zhang et al. 2014, section III: constants of the three similarities, exponents of gradient and colour."""
_OMEGA, _SIGMA_F, _SIGMA_D, _SIGMA_C = 0.021, 1.34, 145.0, 0.001
"""Of SDSP: centre and bandwidth of the log-Gabor filter, widths of the priors of place and of colour."""
_EPS, _EPS_32 = float(np.finfo(np.float64).eps), float(np.finfo(np.float32).eps)
"""pyiqa's guards: the second is in every similarity."""


def _float32(*rows: tuple[float, ...]) -> NDArray[np.float64]:
    """Constants as pyiqa has them: rounded to float32, then computed with in float64."""
    return np.array(rows, np.float32).astype(np.float64)


_LMN = _float32((0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.6, 0.17))
_XYZ = _float32((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = _float32((0.9642119944211994, 1, 0.8251882845188288))[0]
"""D50, as the authors' code has it."""
_LEVELS = (np.arange(256) / np.float32(255)).astype(np.float32).astype(np.float64)
"""Grey levels as a tensor in [0, 1] holds them: where an image has hardly any colour, their rounding shows."""


def vsi(restored: NDArray[np.uint8], reference: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None) -> float:
    """Return the VSI, visual saliency-induced index (Zhang et al. 2014, eq. 6 to 11; pyiqa ``vsi``).

    Saliency (SDSP, Zhang et al. 2013) is computed on 256x256 pixels and enlarged again; saliency and LMN are averaged
    so that the short side is near 256, then compared. Pixels count as much as the more salient of the two.

    Args:
        restored: uint8 (H, W, 3) RGB.
        reference: The HR image, same shape.
        lr: Ignored.

    Returns:
        Similarity in [0, 1]; 1 for identical images. Where an image has one colour only its saliency is rounding.

    Raises:
        ValueError: If the shapes differ.
    """
    if reference is None or restored.shape != reference.shape:
        shape = None if reference is None else reference.shape
        raise ValueError(f"the restored image has shape {restored.shape}, the HR image {shape}")
    kernel = max(1, round(min(restored.shape[:2]) / _SIDE))
    (seen_x, x), (seen_y, y) = ((_saliency(image, kernel), _lmn(image, kernel)) for image in (restored, reference))
    similarity = _similarity(_gradient(x[0]), _gradient(y[0]), _C2) ** _ALPHA
    similarity *= _similarity(seen_x, seen_y, _C1)
    colour = _similarity(x[1], y[1], _C3) * _similarity(x[2], y[2], _C3)
    # The real part of a power: below zero a real number turns by pi times the exponent.
    similarity *= np.abs(colour) ** _BETA * np.where(colour < 0, np.cos(np.pi * _BETA), 1.0)
    weight = np.maximum(seen_x, seen_y)
    return float(((similarity * weight).sum() + _EPS) / (weight.sum() + _EPS))


def build_vsi(device: str) -> ImageMetric:
    """Return :func:`vsi`, which runs on the CPU whatever the device."""
    return vsi


def _lmn(image: NDArray[np.uint8], kernel: int) -> Plane:
    """Luminance and the two colours, (3, h, w), of the averaged image: the sums are whole numbers."""
    sums = _sums(image, kernel)
    channels = [sums[..., channel] / kernel**2 for channel in range(3)]
    return np.stack([_mixed(channels, weights) for weights in _LMN])


def _mixed(channels: list[Plane], weights: Plane) -> Plane:
    """A weighted sum, term by term: a matrix product would depend on the linear algebra library."""
    return channels[0] * weights[0] + channels[1] * weights[1] + channels[2] * weights[2]


def _sums(values: NDArray, kernel: int) -> NDArray:
    """Sums of kernel x kernel values, with the border repeated as far as pyiqa does; what is left over falls away."""
    if kernel == 1:
        return values
    wide = np.int32 if values.dtype == np.uint8 else values.dtype
    before, after = kernel // 2, (kernel - 1) // 2
    for axis in (0, 1):
        side = values.shape[axis]
        count = (side + before + after) // kernel
        places = np.clip(np.arange(count * kernel) - before, 0, side - 1).reshape(count, kernel).T
        total = values.take(places[0], axis).astype(wide, copy=False)
        for place in places[1:]:
            total += values.take(place, axis)
        values = total
    return values


def _saliency(image: NDArray[np.uint8], kernel: int) -> Plane:
    """SDSP's map in [0, 1], averaged as the image is."""
    small = _resized(image, _SIDE, _SIDE)
    lab = _lab(small)
    spectrum = np.fft.rfft2(lab) * _log_gabor()
    frequency = np.sqrt((np.fft.irfft2(spectrum, s=(_SIDE, _SIDE)) ** 2).sum(0) + _EPS)
    colours = [(plane - plane.min()) / (plane.max() - plane.min() + _EPS) for plane in lab[1:]]
    warm = 1 - np.exp(-(colours[0] ** 2 + colours[1] ** 2) / _SIGMA_C**2)
    enlarged = _enlarged(frequency * _place() * warm, *image.shape[:2])
    low, high = enlarged.min(), enlarged.max()
    return (_sums(enlarged, kernel) / kernel**2 - low) / (high - low + _EPS)


def _resized(image: NDArray[np.uint8], height: int, width: int) -> Plane:
    """Bilinear (3, height, width) in [0, 1], corners of the pixels aligned, no antialiasing."""
    rows, columns = (
        np.maximum((np.arange(new, dtype=np.float64) + 0.5) * (old / new) - 0.5, 0)
        for new, old in zip((height, width), image.shape[:2], strict=True)
    )
    (top, bottom, down), (left, right, along) = (
        _neighbours(places, side) for places, side in zip((rows, columns), image.shape[:2], strict=True)
    )
    # Only the pixels that are wanted become floats.
    upper, lower = (
        _LEVELS[near[:, left]] * (1 - along[:, None]) + _LEVELS[near[:, right]] * along[:, None]
        for near in (image[top], image[bottom])
    )
    down = down[:, None, None]
    return np.ascontiguousarray(np.moveaxis(upper * (1 - down) + lower * down, 2, 0))


def _enlarged(plane: Plane, height: int, width: int) -> Plane:
    """Bilinear (height, width), centres of the corner pixels aligned."""
    rows, columns = (
        np.arange(new, dtype=np.float64) * ((old - 1) / (new - 1) if new > 1 else 0.0)
        for new, old in zip((height, width), plane.shape, strict=True)
    )
    left, right, along = _neighbours(columns, plane.shape[1])
    wide = plane[:, left] * (1 - along) + plane[:, right] * along
    top, bottom, down = _neighbours(rows, plane.shape[0])
    return wide[top] * (1 - down[:, None]) + wide[bottom] * down[:, None]


def _neighbours(places: NDArray[np.floating], side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Plane]:
    """The pixels before and behind broken places on a side, and how far each place is from the first."""
    low = places.astype(np.intp)
    return low, np.minimum(low + 1, side - 1), np.asarray(places - low, np.float64)


def _lab(rgb: Plane) -> Plane:
    """CIELAB of sRGB, (3, H, W) from the same in [0, 1]."""
    linear = [np.where(plane <= 0.04045, plane / 12.92, ((plane + 0.055) / 1.055) ** 2.4) for plane in rgb]
    x, y, z = (_bent(_mixed(linear, weights) / white) for weights, white in zip(_XYZ, _WHITE, strict=True))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _bent(ratio: Plane) -> Plane:
    """The cube root, and the line near zero."""
    return np.where(ratio > 0.008856, np.abs(ratio + _EPS) ** (1 / 3), (903.3 * ratio + 16) / 116)


@cache
def _log_gabor() -> Plane:
    """The filter on the half of the spectrum that :func:`numpy.fft.rfft2` gives; it is symmetric and real."""
    radius = np.hypot(np.fft.fftfreq(_SIDE)[:, None], np.fft.rfftfreq(_SIDE)[None])
    inside = (radius > 0) & (radius <= 0.5)
    return np.where(inside, np.exp(-(np.log(np.where(inside, radius, 1) / _OMEGA) ** 2) / (2 * _SIGMA_F**2)), 0)


@cache
def _place() -> Plane:
    """The prior of the centre."""
    squares = np.arange(1 - _SIDE // 2, _SIDE // 2 + 1) ** 2
    return np.exp(-(squares[:, None] + squares[None]) / _SIGMA_D**2)


def _gradient(plane: Plane) -> Plane:
    """Length of Scharr's gradient; beyond the border there are zeros."""
    padded = np.pad(plane, 1)
    across = padded[:, 2:] - padded[:, :-2]
    across = (3 * (across[:-2] + across[2:]) + 10 * across[1:-1]) / 16
    down = padded[2:] - padded[:-2]
    down = (3 * (down[:, :-2] + down[:, 2:]) + 10 * down[:, 1:-1]) / 16
    return np.sqrt(across * across + down * down + _EPS)


def _similarity(x: Plane, y: Plane, constant: float) -> Plane:
    return (2 * x * y + constant) / (x * x + y * y + constant + _EPS_32)
