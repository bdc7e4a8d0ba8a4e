"""A running mean of an adapter's weights, which is what gets validated and saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from isrbench.methods.onestep.adapter import Adapter


class RunningMean:
    """The exponential mean of an adapter's state.

    Args:
        adapter: Whose weights are followed.
        decay: Weight of the past; 0 keeps no mean, and the weights themselves count.
    """

    def __init__(self, adapter: Adapter, decay: float) -> None:
        self._adapter, self._decay = adapter, decay
        self._mean = adapter.state_dict() if decay else None

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` (0, 1, ...). The memory is short at first, to forget the start."""
        if self._mean is not None:
            decay = min(self._decay, (1 + step) / (10 + step))
            for name, value in self._adapter.state_dict().items():
                self._mean[name].lerp_(value, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the mean in place of the adapter's weights for a while."""
        if self._mean is None:
            yield
            return
        weights = self._adapter.state_dict()
        self._adapter.load_state_dict(self._mean)
        try:
            yield
        finally:
            self._adapter.load_state_dict(weights)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the mean, or the weights where none is kept."""
        return self._adapter.state_dict() if self._mean is None else self._mean

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what ``state_dict`` returned."""
        if self._mean is not None:
            self._mean = {name: value.clone() for name, value in state.items()}
