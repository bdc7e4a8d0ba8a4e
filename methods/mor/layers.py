"""A frozen linear map or convolution with a mixture of rank-1 experts beside it, in three equal executions.

    y = W0 x + scale * ( sum over shared j: B_j (A_j x)  +  sum over picked i: g_i B_i (A_i x) )

Source: paper section 3.2. Rank i is row i of A and row i of B.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isrbench.harness.errors import UserError
from isrbench.methods.mor.config import MoRConfig

Execution = Literal["masked", "gathered", "folded"]


@dataclass
class Steering:
    """What all layers of one adapter read on every forward pass. Its owner, the adapter, is the only writer."""

    enabled: bool = True
    """Off: every layer is its plain base."""
    execution: Execution | None = None
    """None until the first route."""
    gates: Tensor | None = None
    """``masked``: float32 (B, L, R), gate of every rank times the scale; 0 where a rank is off."""
    rows: Tensor | None = None
    """``gathered``: int64 (B, L, K), the ranks to compute, those that are on first."""
    row_gates: Tensor | None = None
    """``gathered``: float32 (B, L, K), their gates times the scale."""
    widths: tuple[int, ...] = ()
    """``gathered``: per layer, how many of the K rows any image of the batch needs."""


class Ranks(nn.Module):
    """The trainable matrices of one layer, float32 at the start.

    Args:
        weight: The base weight (d_out, d_in[, kh, kw]) that they stand beside.
        config: Number of ranks and the start.
        generator: CPU generator that draws A; B starts at zero.
    """

    def __init__(self, weight: Tensor, config: MoRConfig, generator: torch.Generator) -> None:
        super().__init__()
        std = 1.0 / config.budget if config.init_std is None else config.init_std
        start = torch.randn(config.ranks, *weight.shape[1:], generator=generator) * std
        self.A = nn.Parameter(start.to(weight.device))
        self.B = nn.Parameter(torch.zeros(config.ranks, weight.shape[0], device=weight.device))


class MoRLayer(nn.Module, ABC):
    """What MoRLinear and MoRConv2d share: the choice of execution and the folding.

    Args:
        base: The layer to stand beside; it stays as it is.
        position: This layer's index in the adapter.
        steering: The adapter's steering, shared by its layers.
        config: The adapter's config.
        generator: See :class:`Ranks`.
    """

    folded: Tensor | None
    """The base's weight with the ranks that are on in it."""

    def __init__(
        self,
        base: nn.Linear | nn.Conv2d,
        position: int,
        steering: Steering,
        config: MoRConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        # The base comes first: libraries ask the first parameter of a model for its type.
        self.base: nn.Module = base
        self.ranks = Ranks(base.weight, config, generator)
        self.position = position
        self.steering = steering
        self.register_buffer("folded", None, persistent=False)
        self._folded_for: object = None

    @property
    def weight(self) -> Tensor:
        """Return the pristine weight of the base."""
        return cast(Tensor, self.base.weight)

    @property
    def bias(self) -> Tensor | None:
        """Return the bias of the base."""
        return cast("Tensor | None", self.base.bias)

    @property
    def rank_cost(self) -> int:
        """Return one rank's parameters, which are its MACs at one output position too: A's row plus B's row."""
        return self.ranks.A[0].numel() + self.ranks.B.shape[1]

    @property
    def foldable(self) -> bool:
        """Return whether the base is a plain layer, not one that another adapter has wrapped since."""
        return type(self.base) in (nn.Linear, nn.Conv2d)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (B, ...) as the adapter's last route says; one route may serve a whole batch."""
        steering, layer = self.steering, self.position
        if not steering.enabled:
            return self.base(x)
        if steering.execution == "folded":
            return self._map(x, cast(Tensor, self.folded), self.bias)
        if steering.execution == "masked":
            rows, gates = None, cast(Tensor, steering.gates)[:, layer]
        elif steering.execution == "gathered":
            width = steering.widths[layer]
            rows = cast(Tensor, steering.rows)[:, layer, :width]
            gates = cast(Tensor, steering.row_gates)[:, layer, :width]
        else:
            raise RuntimeError("call the adapter's route(severity) before the forward pass")
        if gates.shape[0] not in (1, x.shape[0]):
            raise ValueError(f"the last route was for {gates.shape[0]} images, but the batch has {x.shape[0]}")
        y = self.base(x)
        if gates.shape[1] == 0:
            return y
        return y + self._branch(x, rows, gates.to(x.dtype)).to(y.dtype)

    def fold(self, rows: Tensor, gates: Tensor, key: object) -> None:
        """Set ``folded`` = W0 + B diag(gates) A, always from the pristine W0, so that nothing drifts.

        Args:
            rows: int64 (K,), the ranks that are on; only these are multiplied.
            gates: float32 (K,), their gates times the scale; where the layer is, as ``rows``. Reading them would wait
                for a GPU, so none of it happens here.
            key: Stands for the two in :meth:`folded_as`.

        Raises:
            RuntimeError: If another adapter wrapped the base: its branch would be lost.
        """
        if not self.foldable:
            raise RuntimeError(f"cannot fold into a {type(self.base).__name__}: detach the other adapter first")
        # A tensor made in inference mode could not be written to outside of it.
        with torch.inference_mode(False), torch.no_grad():
            weight = self.weight
            if self.folded is None or not _laid_out_alike(self.folded, weight):
                self.folded = torch.empty_like(weight)
            a, b = self.ranks.A[rows], self.ranks.B[rows]
            gated = (b * gates[:, None].to(b.dtype)).t()
            # In the base's dtype: sums are float32 all the same, and one kernel reads and writes each weight once.
            gated, a = gated.to(weight.dtype), _matrix(a, weight).to(weight.dtype)
            torch.addmm(_matrix(weight, weight), gated, a, out=_matrix(self.folded, weight))
            self._folded_for = key, weight.dtype, weight.device

    def folded_as(self, key: object) -> bool:
        """Return whether ``folded`` was made for ``key``; a cast or a move in between folds again."""
        weight, made = self.weight, self.folded
        same = self._folded_for == (key, weight.dtype, weight.device)
        return same and made is not None and _laid_out_alike(made, weight)

    def forget(self) -> None:
        """Free the folded weight, which a change of A, B or the base would make stale."""
        self.folded = self._folded_for = None

    def _branch(self, x: Tensor, rows: Tensor | None, gates: Tensor) -> Tensor:
        a, b = self.ranks.A, self.ranks.B
        if rows is None:
            return self._shared(x, a.to(x.dtype), b.to(x.dtype), gates)
        if rows.shape[0] == 1:
            return self._shared(x, a[rows[0]].to(x.dtype), b[rows[0]].to(x.dtype), gates)
        return self._own(x, a[rows].to(x.dtype), b[rows].to(x.dtype), gates)

    @abstractmethod
    def _map(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The base's kind of map with another weight."""

    @abstractmethod
    def _shared(self, x: Tensor, a: Tensor, b: Tensor, gates: Tensor) -> Tensor:
        """Branch whose rows all images share: a (K, d_in...), b (K, d_out), gates (1 or B, K)."""

    @abstractmethod
    def _own(self, x: Tensor, a: Tensor, b: Tensor, gates: Tensor) -> Tensor:
        """Branch where each image has its rows: a (B, K, d_in...), b (B, K, d_out), gates (B, K)."""


class MoRLinear(MoRLayer):
    """A linear map on (B, ..., d_in) with its mixture of ranks."""

    def _map(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.linear(x, weight, bias)

    def _shared(self, x: Tensor, a: Tensor, b: Tensor, gates: Tensor) -> Tensor:
        gates = gates.view(gates.shape[0], *[1] * (x.ndim - 2), -1)
        return (F.linear(x, a) * gates) @ b

    def _own(self, x: Tensor, a: Tensor, b: Tensor, gates: Tensor) -> Tensor:
        hidden = torch.bmm(x.reshape(x.shape[0], -1, x.shape[-1]), a.transpose(1, 2)) * gates[:, None]
        return torch.bmm(hidden, b).view(*x.shape[:-1], -1)


class MoRConv2d(MoRLayer):
    """A convolution on (B, C, H, W) with its mixture of ranks: A has the base's geometry, B is 1x1.

    Raises:
        UserError: If the base has more than one group.
    """

    def __init__(
        self,
        base: nn.Conv2d,
        position: int,
        steering: Steering,
        config: MoRConfig,
        generator: torch.Generator,
    ) -> None:
        if base.groups != 1:
            raise UserError(
                f"a mixture of ranks cannot stand beside a convolution of {base.groups} groups",
                "use a base whose adapted convolutions are ungrouped, as Stable Diffusion's are",
            )
        super().__init__(base, position, steering, config, generator)
        self.stride, self.padding, self.dilation = base.stride, base.padding, base.dilation
        self.padding_mode = base.padding_mode
        self.border = base._reversed_padding_repeated_twice

    def _map(self, x: Tensor, weight: Tensor, bias: Tensor | None = None, groups: int = 1) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self.border, mode=self.padding_mode), 0
        return F.conv2d(x, weight, bias, self.stride, padding, self.dilation, groups)

    def _shared(self, x: Tensor, a: Tensor, b: Tensor, gates: Tensor) -> Tensor:
        return F.conv2d(self._map(x, a) * gates[:, :, None, None], b.t()[:, :, None, None])

    def _own(self, x: Tensor, a: Tensor, b: Tensor, gates: Tensor) -> Tensor:
        batch, width = gates.shape
        hidden = self._map(x.reshape(1, -1, *x.shape[2:]), a.flatten(0, 1), groups=batch)
        size = hidden.shape[2:]
        hidden = hidden.view(batch, width, -1) * gates[:, :, None]
        return torch.bmm(b.transpose(1, 2), hidden).view(batch, -1, *size)


def wrap(base: nn.Module, position: int, steering: Steering, config: MoRConfig, generator: torch.Generator) -> MoRLayer:
    """Put the right mixture-of-ranks layer around ``base``.

    Raises:
        UserError: If ``base`` is neither a linear map nor a convolution of one group.
    """
    if type(base) is nn.Linear:
        return MoRLinear(base, position, steering, config, generator)
    if type(base) is nn.Conv2d:
        return MoRConv2d(base, position, steering, config, generator)
    raise UserError(
        f"a mixture of ranks cannot stand beside a {type(base).__name__}",
        "detach the adapter that is already there, and use a base of plain Linear and Conv2d layers",
    )


def _laid_out_alike(tensor: Tensor, other: Tensor) -> bool:
    return all(getattr(tensor, what) == getattr(other, what) for what in ("shape", "dtype", "device")) and (
        tensor.stride() == other.stride()
    )


def _matrix(tensor: Tensor, weight: Tensor) -> Tensor:
    """View a (rows, ...) tensor as a matrix whose columns run as ``weight`` lies in memory (channels last or not)."""
    if weight.ndim == 4 and not weight.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(tensor.shape[0], -1)
