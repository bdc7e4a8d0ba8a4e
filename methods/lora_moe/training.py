"""Training of LoRA + MoE."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.methods.lora_moe.adapter import SPEC
from isrbench.methods.onestep.train import run


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.run.train`."""
    return run.train(argv, SPEC)
