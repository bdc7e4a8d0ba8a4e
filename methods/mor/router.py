"""The router bank: one small linear map per adapted layer from the severity vector to the experts, all at once.

Routers read the degradation vector of the image only, never tokens, so every layer is routed before the network runs.
Source: paper section 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isrbench.methods.mor.config import GateNorm, MoRConfig


@dataclass(frozen=True)
class Routing:
    """How each of B images is routed in each of L layers."""

    probabilities: Tensor
    """float32 (B, L, N): softmax over the routing targets, real experts first, zero slots last; carries gradient."""
    picked: Tensor
    """int64 (B, L, k): the picked targets, most probable first, ties broken by the lower index. k is ``top_k``, or the
    number of experts that was asked for."""
    gates: Tensor
    """float32 (B, L, n): gate of each real expert, exactly 0 where it is not picked; carries gradient."""

    @property
    def experts(self) -> Tensor:
        """Return how many real experts are picked, int64 (B, L)."""
        return (self.picked < self.gates.shape[-1]).sum(-1)

    @property
    def zeros(self) -> Tensor:
        """Return how many zero slots are picked, int64 (B, L)."""
        return self.picked.shape[-1] - self.experts

    @property
    def hits(self) -> Tensor:
        """Return how many of the images pick each target, float32 (L, N), whole numbers."""
        return torch.zeros_like(self.probabilities).scatter(-1, self.picked, 1.0).detach().sum(0)


class RouterBank(nn.Module):
    """The routers of all L layers. Always float32: a cast of the surrounding model moves it, but does not round it.

    Args:
        layers: Number of adapted layers L.
        config: Sizes and gate normalisation.
        device: Where the parameters live.
        generator: CPU generator that draws the weights, so that they are the same on every device.
    """

    def __init__(self, layers: int, config: MoRConfig, device: torch.device, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        weight = torch.randn(config.dims, layers, config.targets, generator=generator) * config.router_std
        self.weight = nn.Parameter(weight.to(device))
        self.bias = nn.Parameter(torch.zeros(layers, config.targets, device=device))

    def forward(self, severity: Tensor, experts: int | None = None) -> Routing:
        """Route every image in every layer.

        Args:
            severity: (B, dims) in [0, 1], higher = worse.
            experts: Pick this many of the most probable real experts and no zero slot; None = the ``top_k`` targets.

        Returns:
            The routing; each image's own row depends on its own severity only, to the last bit.
        """
        severity = severity.to(self.weight.device, torch.float32)
        # One product (B x dims by dims x (L N)), written as multiply-adds: a matrix product would round differently
        # with the batch size, under autocast or with TF32, and a near tie would then be broken differently.
        logits = self.bias.expand(severity.shape[0], -1, -1)
        for dim in range(self.config.dims):
            logits = logits + severity[:, dim, None, None] * self.weight[dim]
        probabilities = torch.softmax(logits, dim=-1, dtype=torch.float32)
        if experts is None:
            picked = pick(probabilities, self.config.top_k)
        else:
            picked = pick(probabilities[..., : self.config.routed], experts)
        return Routing(probabilities, picked, gates(probabilities, picked, self.config.routed, self.config.gate_norm))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RouterBank:
        """Follow the model to another device, but not to another floating-point type."""

        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        return super()._apply(move, recurse)


def pick(probabilities: Tensor, top_k: int) -> Tensor:
    """Pick the ``top_k`` most probable targets; of equal ones, those with the lower index.

    Args:
        probabilities: (..., N).
        top_k: How many, at most N.

    Returns:
        int64 (..., top_k), most probable first. ``torch.topk`` promises no order among equals; a stable sort does.
    """
    order = torch.sort(probabilities.detach(), dim=-1, descending=True, stable=True).indices
    return order[..., :top_k]


def gates(probabilities: Tensor, picked: Tensor, routed: int, norm: GateNorm) -> Tensor:
    """Turn probabilities into the gates of the picked real experts (paper section 3.2; docs/mor.md).

    Args:
        probabilities: (..., N), rows sum to 1.
        picked: int64 (..., k) as :func:`pick` gives; k may be 0.
        routed: Number n of real experts, the first n of the N targets.
        norm: See ``MoRConfig.gate_norm``.

    Returns:
        (..., n), 0 where an expert is not picked.
    """
    if picked.shape[-1] == 0:  # the share of a sum over nothing
        return torch.zeros_like(probabilities[..., :routed])
    selected = probabilities * torch.zeros_like(probabilities).scatter(-1, picked, 1.0)
    if norm == "topk":
        selected = selected * (picked.shape[-1] / selected.sum(-1, keepdim=True))
    elif norm == "all":
        selected = selected * probabilities.shape[-1]
    return selected[..., :routed]
