"""Training of LoRA + MoE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isrbench.methods.onestep.train import launch

if TYPE_CHECKING:
    from isrbench.methods.onestep.adapter import AdapterSpec


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.launch.train`."""
    return launch.train("lora_moe", argv, _spec)


def _spec() -> AdapterSpec:
    from isrbench.methods.lora_moe.adapter import SPEC

    return SPEC
