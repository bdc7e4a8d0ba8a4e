"""Degradation severity of an LR image without weights: fixed curves over its spectrum and gradients.

Each dimension is a logistic curve over the features of :mod:`isrbench.harness.severity.spectrum`, fitted once to known
degradations by ``isrbench tools fit-fft`` (:mod:`isrbench.harness.severity.fit`). See docs/severity.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isrbench.harness.severity.spec import Curves
from isrbench.harness.severity.spectrum import FEATURES, features

CLIP = 3.0
"""Standard deviations beyond which a feature counts no more: an image unlike all of the fit gets no wild severity."""


class FftSeverity:
    """Tells how degraded an image is; an ``Estimator`` owns it. It computes in float64 on the CPU, whatever the device.

    Args:
        curves: Its constants.

    Raises:
        ValueError: If the curves are over other features.
    """

    def __init__(self, curves: Curves) -> None:
        if curves.features != FEATURES:
            raise ValueError(f"the curves are over {curves.features}, not {FEATURES}")
        self._centre, self._spread, self._weights, self._offsets = (
            torch.tensor(values, dtype=torch.float64)
            for values in (curves.centre, curves.spread, curves.weights, curves.offsets)
        )

    def estimate(self, image: Tensor) -> Tensor:
        """Return the severity vector of one image.

        Args:
            image: float (3, H, W) in [0, 1], RGB, at the LR's own size, of any size.

        Returns:
            float32 (7,) in [0, 1] on the CPU, in the order of ``DIMENSIONS``.
        """
        standard = standardise(features(image.detach().cpu()), self._centre, self._spread)
        return torch.sigmoid(self._weights @ standard + self._offsets).float()


def standardise(values: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """Return features (..., F) in standard deviations from the centre, at most ``CLIP`` of them."""
    return ((values - centre) / spread).clamp(-CLIP, CLIP)
