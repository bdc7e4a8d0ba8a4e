"""How far a restored image is displaced against its HR image, to a hundredth of a pixel. Needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isrbench.harness.errors import UserError
from isrbench.harness.metrics.fidelity import rounded_luma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isrbench.harness.api.metric import ImageMetric

_SMALLEST = 16
_STEPS = 100
"""Steps in a pixel."""


def shift(restored: NDArray[np.uint8], hr: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None) -> float:
    """Return how far the restored image is displaced against the HR image, in HR pixels; lower is better.

    The length of :func:`displacement` of the two Y planes; its direction is lost. A displaced result explains many a
    bad PSNR.

    Args:
        restored: uint8 (H, W, 3) RGB.
        hr: The HR image, same shape.
        lr: Ignored.

    Returns:
        Pixels, in [0, half the diagonal]; NaN if one of the images is flat.

    Raises:
        ValueError: If the shapes differ.
        UserError: If a side is below 16 pixels.
    """
    if hr is None or restored.shape != hr.shape:
        shape = None if hr is None else hr.shape
        raise ValueError(f"the restored image has shape {restored.shape}, the HR image {shape}")
    if min(hr.shape[:2]) < _SMALLEST:
        raise UserError(
            f"shift needs sides of at least {_SMALLEST} pixels, not {hr.shape[1]}x{hr.shape[0]}",
            "leave such images out of the set, or choose other --metrics",
        )
    return float(np.hypot(*displacement(rounded_luma(restored), rounded_luma(hr))))


def displacement(moved: NDArray[np.float64], fixed: NDArray[np.float64]) -> tuple[float, float]:
    """Return (down, right), by how many pixels ``moved`` is displaced against ``fixed``, in steps of 0.01.

    The peak of the cross-correlation of the two planes (mean taken off, Hann window), refined by a Fourier transform
    at hundredths of a pixel around it (Guizar-Sicairos, Thurman and Fienup, "Efficient subpixel image registration
    algorithms", Optics Letters 33(2), 2008). Then once more on what the planes share after a move by whole pixels: the
    windows stand still, and pull the first estimate towards 0.

    The spectrum is not divided by its magnitude, which phase correlation does: that would give what a method invents
    above the LR's highest frequency the weight of what both images hold.

    Args:
        moved: (H, W).
        fixed: (H, W).

    Returns:
        Two numbers; (NaN, NaN) if a plane is flat.
    """
    cross = _cross_spectrum(moved, fixed)
    if cross is None:
        return np.nan, np.nan
    correlation = np.fft.ifft2(cross).real
    place = np.unravel_index(np.argmax(correlation), correlation.shape)
    whole = [int((p + side // 2) % side - side // 2) for p, side in zip(place, correlation.shape, strict=True)]
    first = _refined(cross, whole[0], whole[1])
    down, right = round(first[0]), round(first[1])
    if down == right == 0:
        return first
    shared = _cross_spectrum(_from(moved, down, right), _from(fixed, -down, -right))
    if shared is None:
        return first
    rest = _refined(shared, 0, 0)
    return down + rest[0], right + rest[1]


def _cross_spectrum(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.complex128] | None:
    """The product of the windowed planes' spectra, the second conjugated; None if a plane is flat."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    # Without the zeros at both ends, which would take a row and a column away.
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in x.shape))
    one, two = (np.fft.fft2((plane - plane.mean()) * window) for plane in (x, y))
    return one * two.conj()


def _refined(cross: NDArray[np.complex128], down: int, right: int) -> tuple[float, float]:
    """The correlation's peak within one pixel of (down, right)."""
    offsets = np.arange(-_STEPS, _STEPS + 1)
    height, width = cross.shape
    rows = np.exp(2j * np.pi * np.outer(down + offsets / _STEPS, np.fft.fftfreq(height)))
    columns = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(width), right + offsets / _STEPS))
    near = (rows @ cross @ columns).real
    row, column = np.unravel_index(np.argmax(near), near.shape)
    return down + offsets[row] / _STEPS, right + offsets[column] / _STEPS


def _from(plane: NDArray[np.float64], down: int, right: int) -> NDArray[np.float64]:
    """The part of a plane that begins (down, right) later, or ends so much earlier where they are negative."""
    height, width = plane.shape
    return plane[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]


def build_shift(device: str) -> ImageMetric:
    """Return :func:`shift`, which runs on the CPU whatever the device."""
    return shift
