"""Interpolation with PIL, on 8-bit pixels: the library and the depth that the field's baselines use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.imaging.images import to_pixels, to_tensor

if TYPE_CHECKING:
    from torch import Tensor

_FILTERS = {"bicubic": (Image.Resampling.BICUBIC, 4), "lanczos": (Image.Resampling.LANCZOS, 6)}
"""PIL's filter and the taps it weighs per axis when it enlarges: twice its support."""


class Resize:
    """Enlarges by interpolation (a :class:`isrbench.harness.api.method.Method`).

    Args:
        kernel: Which of PIL's filters.
        scale: Upscaling factor.
    """

    weights_hash = ""

    def __init__(self, kernel: Literal["bicubic", "lanczos"], scale: int) -> None:
        self._filter, self._taps = _FILTERS[kernel]
        self._scale = scale

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Resize the image as 8-bit RGB."""
        height, width = lr.shape[1:]
        enlarged = Image.fromarray(to_pixels(lr)).resize((width * self._scale, height * self._scale), self._filter)
        return Restored(to_tensor(np.asarray(enlarged)))

    def cost(self, height: int, width: int) -> Cost:
        """Return the filter taps applied, counted analytically; no parameters.

        PIL filters rows first and columns second, so a pixel costs one set of taps in each of the two passes. Taps
        that the image border cuts off are counted as if they were there.
        """
        wide, high = width * self._scale, height * self._scale
        return Cost(macs=3 * self._taps * (height * wide + high * wide), params_total=0)

    def input_hash(self, image: str) -> str:
        """Return "": images have no input of their own."""
        return ""


def bicubic(options: object, runtime: Runtime) -> Resize:
    """Build bicubic enlargement."""
    return Resize("bicubic", runtime.scale)


def lanczos(options: object, runtime: Runtime) -> Resize:
    """Build Lanczos enlargement."""
    return Resize("lanczos", runtime.scale)
