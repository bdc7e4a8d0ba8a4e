"""A running mean of an adapter's weights, which is what gets validated and saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from isrbench.methods.onestep.adapter import Adapter


class RunningMean:
    """The exponential mean of an adapter's parameters, kept beside them on their device.

    Args:
        adapter: Whose weights are followed.
        decay: Weight of the past; 0 keeps no mean, and the weights themselves count.
    """

    def __init__(self, adapter: Adapter, decay: float) -> None:
        self._adapter, self._decay = adapter, decay
        self._mean = _copies(adapter.parameters()) if decay else None

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` (0, 1, ...). The memory is short at first, to forget the start."""
        if self._mean is not None:
            decay = min(self._decay, (1 + step) / (10 + step))
            for name, value in self._adapter.parameters().items():
                self._mean[name].lerp_(value, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the mean in place of the adapter's weights for a while."""
        if self._mean is None:
            yield
            return
        weights = _copies(self._adapter.parameters())
        self._adapter.load_state_dict(self._mean)
        try:
            yield
        finally:
            self._adapter.load_state_dict(weights)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the mean, or the weights where none is kept, on the CPU."""
        return self._adapter.state_dict() if self._mean is None else _copies(self._mean, "cpu")

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what ``state_dict`` returned."""
        if self._mean is not None:
            self._mean = {name: torch.empty_like(own).copy_(state[name]) for name, own in self._mean.items()}


def _copies(tensors: Mapping[str, Tensor], device: str | None = None) -> dict[str, Tensor]:
    return {name: tensor.detach().to(device, copy=True) for name, tensor in tensors.items()}
