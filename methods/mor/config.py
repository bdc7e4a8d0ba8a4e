"""The choices of one mixture-of-ranks adapter, checked when they are made. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from isrbench.harness.errors import UserError

LARGEST = 1 << 16
"""The largest whole number that a config may hold: wider than any layer, and no request for petabytes."""
GateNorm = Literal["topk", "all", "none"]
Balance = Literal["degradation", "uniform"]


@dataclass(frozen=True)
class MoRConfig:
    """Sizes and choices of a mixture-of-ranks adapter (paper section 3; defaults are MoR-full).

    MoR-v1 of the paper's ablation is ``zero_slots=0``; MoR-v2 is ``balance="uniform"``. A whole LoRA as one expert
    (LoRA + MoE) is ``expert_rank > 1``.

    Raises:
        UserError: If the numbers do not fit each other; says which and how to fix it.
    """

    shared: int = 8
    """Ranks that are always on (the paper's m)."""
    routed: int = 32
    """Routed experts (the paper's n)."""
    expert_rank: int = 1
    """Ranks of one routed expert: 1 in MoR, more where a whole LoRA is one expert."""
    zero_slots: int = 4
    """Parameter-free slots that the router may pick instead of an expert. That they come on top of the ``routed``
    real ones is our choice; the paper's ablation prefers 4 to 0 and 8."""
    top_k: int = 8
    """Routing targets (experts or zero slots) that an image picks in a layer."""
    scale: float = 0.5
    """Factor on the whole branch. Our choice: 8 / 16, what peft gives a dense LoRA of the same active rank 16 at
    OSEDiff's alpha of 8."""
    gate_norm: GateNorm = "topk"
    """``topk``: p_i / (sum of the picked p) x k, zero slots counted in the sum, so a uniform router gives gate 1
    (our choice). ``all``: p_i x N, also 1 for a uniform router, but still trained when k = 1. ``none``: p_i."""
    balance: Balance = "degradation"
    """``degradation``: zero slots are weighed by the image's severity (paper). ``uniform``: the conventional loss."""
    balance_alpha: float = 0.01
    """Weight of the balance loss; 0 switches it off. Our choice: the usual weight for mixtures of experts."""
    init_std: float | None = None
    """Standard deviation of A at the start. Our choice: None = 1 / (active budget), peft's "gaussian" start of a
    dense LoRA of the same active rank. B always starts at 0, so the first step equals the base exactly."""
    router_std: float = 0.02
    """Standard deviation of the router's weights at the start; its biases start at 0. Our choice."""
    dims: int = 7
    """Length of the severity vector that the router reads."""

    def __post_init__(self) -> None:
        _check_types(self)
        for name in _INTEGERS:
            low = 0 if name in ("shared", "zero_slots") else 1
            if not low <= getattr(self, name) <= LARGEST:
                raise UserError(
                    f"MoR config: {name} is {getattr(self, name)}", f"set {name} to {low} or more, {LARGEST} at most"
                )
        for name in ("scale", "balance_alpha", "router_std", "init_std"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"MoR config: {name} is {value}", f"set {name} to a finite number of 0 or more")
        for name, allowed in (("gate_norm", get_args(GateNorm)), ("balance", get_args(Balance))):
            value = getattr(self, name)
            if value not in allowed:
                raise UserError(f"MoR config: {name} is {value!r}", f"set it to one of {', '.join(allowed)}")
        if self.top_k > self.targets:
            raise UserError(
                f"MoR config: top_k is {self.top_k}, but there are only {self.targets} routing targets "
                f"({self.routed} routed experts + {self.zero_slots} zero slots)",
                f"set top_k to {self.targets} or less, or raise routed",
            )

    @property
    def targets(self) -> int:
        """Return the number of routing targets N: routed experts + zero slots."""
        return self.routed + self.zero_slots

    @property
    def ranks(self) -> int:
        """Return the number of ranks R of one layer: shared + routed x expert_rank."""
        return self.shared + self.routed * self.expert_rank

    @property
    def budget(self) -> int:
        """Return the most ranks that one image can have active in a layer."""
        return self.shared + min(self.top_k, self.routed) * self.expert_rank

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MoRConfig:
        """Read what ``dataclasses.asdict`` gave; fields that are left out keep their defaults.

        Raises:
            UserError: If a name is unknown or a value does not fit.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(f"MoR config: unknown name '{name}'", f"known names: {', '.join(known)}")
        return cls(**values)


_INTEGERS = ("shared", "routed", "expert_rank", "zero_slots", "top_k", "dims")
_NUMBERS = ("scale", "balance_alpha", "router_std")


def _check_types(config: MoRConfig) -> None:
    """Refuse values of another type, as a hand-written JSON file may hold them."""
    for name in (*_INTEGERS, *_NUMBERS, "init_std"):
        value = getattr(config, name)
        wanted = int if name in _INTEGERS else (int, float)
        if name == "init_std" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, wanted):
            word = "a whole number" if name in _INTEGERS else "a number"
            raise UserError(f"MoR config: {name} is {value!r}", f"set {name} to {word}")
