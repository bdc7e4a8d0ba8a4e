"""The adapters that an ablation compares: the paper's rows, and controls that say what a difference means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError
from isrbench.methods.lora_moe.adapter import SPEC as LORA_MOE
from isrbench.methods.mor.adapter import SPEC as MOR
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.osediff.adapter import SPEC as OSEDIFF

ORACLE = "oracle-"
"""How the ids of the specialists begin; a number follows."""


@dataclass(frozen=True)
class Variant:
    """One adapter and how it is trained."""

    id: str
    """How a command line names it."""
    title: str
    """What tables call it."""
    spec: AdapterSpec
    fields: dict[str, Any]
    """Fields of the adapter's config, laid over the preset's for its method."""
    training: dict[str, Any] = field(default_factory=dict)
    """Fields of the training config, laid over the preset's."""

    def folder(self, seed: int) -> str:
        """Return the name of the folder of one training."""
        return f"{self.title.replace(' ', '-')}-{seed}"


def paper_variants(mor: MoRConfig) -> tuple[Variant, ...]:
    """Return the paper's rows, and a dense LoRA of as many ranks as MoR holds; all branches have MoR's scale.

    MoR-v1 has no zero slots, MoR-v2 the conventional balance loss.

    Args:
        mor: MoR-full. The first LoRA has the rank that it has active at most, the second the rank that it holds.
    """
    return (
        dense("lora", mor.budget, mor.scale),
        dense("lora-wide", mor.ranks, mor.scale),
        Variant("moe", "LoRA+MoE", LORA_MOE, {}),
        Variant("mor-v1", "MoR-v1", MOR, {"zero_slots": 0}),
        Variant("mor-v2", "MoR-v2", MOR, {"balance": "uniform"}),
        Variant("mor", "MoR-full", MOR, {}),
    )


def controls(mor: MoRConfig, parts: int = 3) -> tuple[Variant, ...]:
    """Return the variants that tell what routing by severity does, and what it could do at most.

    ``mor-blind`` sees a constant severity, ``mor-shuffled`` another image's while it trains, ``mor-fft`` one without
    weights. ``oracle-1``, ``oracle-2``, ... are dense LoRAs of MoR's active rank, each trained on its part of the
    severity scale: what chooses among them by the true level is a router that cannot err.

    Args:
        mor: MoR-full.
        parts: Into how many equal parts the severity scale is cut.
    """
    specialists = tuple(
        dense(
            f"{ORACLE}{n + 1}", mor.budget, mor.scale, f" part {n + 1}",
            {"data": {"levels": (n / parts, (n + 1) / parts)}},
        )
        for n in range(parts)
    )  # fmt: skip
    return (
        Variant("mor-blind", "MoR-blind", MOR, {}, {"routed_by": "constant"}),
        Variant("mor-shuffled", "MoR-shuffled", MOR, {}, {"routed_by": "next"}),
        Variant("mor-fft", "MoR-fft", MOR, {}, {"estimator": "fft"}),
        *specialists,
    )


def dense(id: str, rank: int, scale: float, words: str = "", training: dict[str, Any] | None = None) -> Variant:
    """Return a dense LoRA whose branch has the factor ``scale`` = alpha / rank."""
    fields = {"rank": rank, "alpha": scale * rank, "train_conv_in": False}
    return Variant(id, f"LoRA r{rank}{words}", OSEDIFF, fields, training or {})


def choose(known: Sequence[Variant], ids: Sequence[str]) -> tuple[Variant, ...]:
    """Return the variants called ``ids``, in the order of ``known``.

    Raises:
        UserError: If one is unknown.
    """
    names = [variant.id for variant in known]
    for id in ids:
        if id not in names:
            raise UserError(unknown_name("variant", id, names))
    return tuple(variant for variant in known if variant.id in ids)
