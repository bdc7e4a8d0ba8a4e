"""Methods that restore several images at once. Torch-free; no part of the identity of a method that does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from isrbench.harness.api.result import Restored

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Batches(Protocol):
    """A method that ``--batch`` can be asked of."""

    def restore_batch(self, lrs: Tensor, *, images: Sequence[str], seeds: Sequence[int]) -> Sequence[Restored]:
        """Restore images of one size.

        An image's result may differ from that of ``restore`` by rounding, and by what else is in the batch, since sums
        of another shape are split otherwise.

        Args:
            lrs: float32 (B, 3, H, W) in [0, 1], RGB, on the CPU.
            images: Their ids.
            seeds: Each image's own seed.

        Returns:
            One result an image, in order.
        """
        ...
