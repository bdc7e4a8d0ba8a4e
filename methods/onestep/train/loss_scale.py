"""The loss scale of training in float16, which keeps small gradients from vanishing.

At 512 px and batch 4 the gradient of an L2 loss at a pixel that is 0.1 off is 2 x 0.1 / (4 x 3 x 512^2) = 6e-8: the
smallest number that float16 has. So the losses are multiplied by a power of two before they are differentiated, and
the gradients divided by it before they are clipped. Source: Micikevicius et al., "Mixed precision training" (2018),
section 3.2, with the dynamic scale of torch.amp.GradScaler, of which this is the arithmetic without a device.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

GROWTH_STEPS = 2000
"""Steps without an overflow after which the scale doubles."""


@dataclass
class LossScale:
    """A scale that halves with every overflow, and doubles again after a while."""

    value: float = 2.0**16
    """What losses are multiplied by: pass ``share * value`` to ``run_micro_batch``."""
    steps: int = 0
    """Steps without an overflow since the value last changed."""

    def unscale(self, parameters: Iterable[nn.Parameter]) -> None:
        """Divide the gradients by the scale; exact, because it is a power of two."""
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(1 / self.value)

    def update(self, finite: bool) -> None:
        """Take in a step: one whose gradients were all finite, or one that was skipped.

        Every process has to say the same. The scale stays at or above 1.
        """
        if not finite:
            self.value, self.steps = max(1.0, self.value / 2), 0
            return
        self.steps += 1
        if self.steps == GROWTH_STEPS:
            self.value, self.steps = self.value * 2, 0


def loss_scale_of(dtype: str) -> LossScale | None:
    """Return the scale to begin with: None for dtypes whose exponents reach as far as float32's."""
    return LossScale() if dtype == "fp16" else None
