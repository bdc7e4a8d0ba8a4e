"""A frozen linear map or convolution with a LoRA whose ranks are mixed anew for each image.

    y = W0 x + scale * B (M^T (A x))

M is r x r and depends on the image's degradation and on the block that the layer lies in (paper section 3.2; in the
published code the ranks of A x are multiplied by M from the right, as rows).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isrbench.harness.errors import UserError


class ModulatedLayer(nn.Module):
    """The layer, apart from its base or folded into it; both are equal.

    A convolution's A has the base's geometry, its B is 1x1. A and B are float32 whatever the base is.

    Args:
        base: The layer to stand beside; it stays as it is.
        rank: Ranks r.
        scale: Factor on the branch: peft's alpha / rank.
        generator: Draws the start of A; B starts at zero.

    Raises:
        UserError: If the base is neither, or has groups or a padding other than zeros.
    """

    def __init__(self, base: nn.Module, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        plain = isinstance(base, nn.Linear) or (
            isinstance(base, nn.Conv2d) and base.groups == 1 and base.padding_mode == "zeros"
        )
        if not plain:
            raise UserError(f"a LoRA cannot stand beside a {base}", "use a base of plain Linear and Conv2d layers")
        # The base comes first: libraries ask the first parameter of a model for its type.
        self.base: Any = base
        self.scale = scale
        weight = self.base.weight
        start = torch.randn(rank, *weight.shape[1:], generator=generator) / rank
        self.A = nn.Parameter(start.to(weight.device), requires_grad=False)
        self.B = nn.Parameter(torch.zeros(len(weight), rank, device=weight.device), requires_grad=False)
        self.enabled = True
        self.mix: Tensor | None = None
        """float32 (1 or B, r, r), M of each image; None until the first route."""
        self.pristine: Tensor | None = None
        """The base's weight while a folded one stands in for it."""

    @property
    def weight(self) -> Tensor:
        """Return the pristine weight of the base."""
        return self.base.weight if self.pristine is None else self.pristine

    @property
    def rank(self) -> int:
        """Return the ranks r, all of them on for every image."""
        return len(self.A)

    @property
    def cost(self) -> int:
        """Return the MACs of the branch at one output position: A, M and B."""
        return self.A.numel() + self.rank**2 + self.B.numel()

    @property
    def folding_cost(self) -> int:
        """Return the MACs of folding: B M^T, and that times A."""
        return len(self.B) * self.rank**2 + self.rank * self.weight.numel()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (B, ...)."""
        y = self.base(x)
        if not self.enabled or self.pristine is not None:
            return y
        if self.mix is None:
            raise RuntimeError("call the adapter's route(severity) before the forward pass")
        if len(self.mix) not in (1, len(x)):
            raise ValueError(f"the last route was for {len(self.mix)} images, but the batch has {len(x)}")
        x, mix = x.to(self.A.dtype), self.mix.expand(len(x), -1, -1)
        if self.A.ndim == 2:
            branch = F.linear(torch.einsum("b...k,bkr->b...r", F.linear(x, self.A), mix), self.B)
        else:
            hidden = F.conv2d(x, self.A, None, self.base.stride, self.base.padding, self.base.dilation)
            branch = F.conv2d(torch.einsum("bkhw,bkr->brhw", hidden, mix), self.B[:, :, None, None])
        return y + (self.scale * branch).to(y.dtype)

    @torch.no_grad()
    def fold(self) -> None:
        """Put W0 + scale * B M^T A in the place of W0, for the only image of the last route.

        Made in float32 of the pristine weight, so that nothing drifts, and in the base's own type.
        """
        assert self.mix is not None and len(self.mix) == 1
        self.unfold()
        pristine = self.base.weight.data
        delta = (self.B @ self.mix[0].t()) @ self.A.flatten(1)
        self.base.weight.data = (pristine.float() + self.scale * delta.view_as(pristine)).to(pristine.dtype)
        self.pristine = pristine

    def unfold(self) -> None:
        """Put the pristine weight back."""
        if self.pristine is not None:
            self.base.weight.data, self.pristine = self.pristine, None
