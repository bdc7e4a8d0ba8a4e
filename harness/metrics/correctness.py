"""What a method did with the detail that its LR lacks: improved, left out or made up. Needs no torch.

After opensr-test (https://github.com/ESAOpenSR/opensr-test, release 1.3.3 with its default settings) and Aybar et al.,
"A Comprehensive Benchmark for Optical Remote Sensing Image Super-Resolution", IEEE Geoscience and Remote Sensing
Letters 21, 2024. Two differences: the restored image is not moved to fit the HR image before the comparison (``shift``
says how far it is off), and where the scale does not divide 16 the border is a little narrower, whole pixels of the LR.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import Image

from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isrbench.harness.api.metric import ImageMetric

_BORDER = 16
"""HR pixels cut off at every side, or the next smaller number that is whole pixels of the LR."""
_STEEPNESS = 0.05
"""lambda of all three distances."""
_TEMPERATURE = 0.25
_QUANTILE = 0.75
"""Pixels count whose distances do not all lie below this quantile of the distance of LR and HR."""
_EPS = 1e-8

_last = threading.local()
"""The last images' shares, by thread: three metrics ask for them one after the other."""


class Shares(NamedTuple):
    """Means over the pixels that count; each in [0, 1], together 1."""

    hallucination: float
    """Detail of the restored image that is neither in the HR nor in the LR image."""
    omission: float
    """Detail of the HR image that the restored image lacks, as the LR does."""
    improvement: float
    """Detail of the HR image that the restored image has and the LR has not."""


def shares(restored: NDArray[np.uint8], hr: NDArray[np.uint8], lr: NDArray[np.uint8]) -> Shares:
    """Return the shares of one image.

    A border of 16 pixels is cut off. The restored image gets the HR image's histogram, channel by channel, so that a
    cast of colour is no detail; the LR is enlarged bilinearly. Then :func:`shares_of_distances` of the mean over the
    channels of ``|x - y| / (x + y + 1e-8)``, with values in [0, 1].

    Args:
        restored: uint8 (H, W, 3) RGB.
        hr: The HR image, same shape.
        lr: uint8 (h, w, 3); H is the scale times h, and W times w.

    Returns:
        NaN thrice if no pixel counts: the HR image holds nothing that the enlarged LR has not, and the restored image
        neither.

    Raises:
        ValueError: If the shapes do not fit.
        UserError: If a side has no pixel within the border.
    """
    scale = hr.shape[0] // lr.shape[0]
    if restored.shape != hr.shape or hr.shape[:2] != (scale * lr.shape[0], scale * lr.shape[1]):
        raise ValueError(
            f"the restored image has shape {restored.shape}, the HR image {hr.shape}, the LR image {lr.shape}"
        )
    border = _BORDER // scale
    if min(lr.shape[:2]) <= 2 * border:
        raise UserError(
            f"hallucination, omission and improvement cut off {scale * border} pixels at every side, and the image has "
            f"{hr.shape[1]}x{hr.shape[0]}",
            "leave such images out of the set, or choose other --metrics",
        )
    ours, sharp = (_inner(image, scale * border) for image in (restored, hr))
    blurred = _enlarged(_inner(lr, border), *sharp.shape[:2])
    x, y, z = (values / 255 for values in (_matched(ours, sharp), sharp, blurred))
    return shares_of_distances(_distance(z, y), _distance(x, y), _distance(x, z))


def shares_of_distances(
    lr_to_hr: NDArray[np.float64], to_hr: NDArray[np.float64], to_lr: NDArray[np.float64]
) -> Shares:
    """Return the shares that three distances a pixel give.

    With d = to_hr / lr_to_hr, e = to_lr / lr_to_hr and h = d + e - 1, a pixel's distances from improvement, omission
    and hallucination are ``d + e (1 - exp(-lambda h))``, ``e + d (1 - exp(-lambda h))`` and ``exp(-lambda d e)``; its
    shares are the softmin of the three. A restored pixel equal to the HR (d = 0, e = 1) is so 1 / (1 + 2 exp(-4)) =
    0.9647 improvement and one equal to the LR as much omission: no image reaches 1.

    Args:
        lr_to_hr: Between the enlarged LR and the HR image, (H, W), >= 0.
        to_hr: Between the restored and the HR image, (H, W).
        to_lr: Between the restored image and the enlarged LR, (H, W).

    Returns:
        NaN thrice if no pixel counts.
    """
    ordered = max(int(_QUANTILE * lr_to_hr.size), 1) - 1
    least = np.partition(lr_to_hr, ordered, axis=None)[ordered]
    counts = (lr_to_hr > least) | (to_hr > least) | (to_lr > least)
    if not counts.any():
        return Shares(np.nan, np.nan, np.nan)
    # Where LR and HR agree and the restored image does not, the two ratios are infinite: a hallucination.
    with np.errstate(divide="ignore"):
        d, e = to_hr[counts] / lr_to_hr[counts], to_lr[counts] / lr_to_hr[counts]
    slope = 1 - np.exp(-_STEEPNESS * (d + e - 1))
    near = np.exp(-np.stack([np.exp(-_STEEPNESS * d * e), e + d * slope, d + e * slope]) / _TEMPERATURE)
    hallucination, omission, improvement = (near / near.sum(axis=0)).mean(axis=1)
    return Shares(float(hallucination), float(omission), float(improvement))


def build_share(device: str, *, share: Literal["hallucination", "omission", "improvement"]) -> ImageMetric:
    """Build one of :class:`Shares` as a metric; it runs on the CPU whatever the device."""

    def value(restored: NDArray[np.uint8], hr: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None) -> float:
        if hr is None or lr is None:
            raise ValueError(f"{share} needs the HR and the LR image; the {'HR' if hr is None else 'LR'} is absent")
        return float(getattr(_remembered(restored, hr, lr), share))

    return value


def _remembered(restored: NDArray[np.uint8], hr: NDArray[np.uint8], lr: NDArray[np.uint8]) -> Shares:
    digest = hashlib.blake2b(digest_size=16)
    for image in (restored, hr, lr):
        digest.update(f"{image.shape}".encode())
        digest.update(image.tobytes())
    key = digest.digest()
    if getattr(_last, "key", None) != key:
        _last.shares, _last.key = shares(restored, hr, lr), key
    return _last.shares


def _inner(image: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    return image[border : height - border, border : width - border]


def _distance(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.mean(np.abs(x - y) / (x + y + _EPS), axis=-1)


def _matched(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The image with the other's cumulative histogram in each channel."""
    matched = np.empty(image.shape)
    for channel in range(3):
        ours, theirs = (np.bincount(x[..., channel].ravel(), minlength=256) for x in (image, other))
        levels = np.flatnonzero(theirs)
        reached = np.cumsum(theirs)[levels] / other[..., channel].size
        table = np.interp(np.cumsum(ours) / image[..., channel].size, reached, levels)
        matched[..., channel] = table[image[..., channel]]
    return matched


def _enlarged(lr: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    planes = (Image.fromarray(lr[..., channel].astype(np.float32)) for channel in range(3))
    large = [np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR)) for plane in planes]
    return np.stack(large, axis=-1).astype(np.float64)
