"""Training of LoRA + MoE."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.methods.onestep.train.config import parse_config


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.run.train`."""
    parse_config("lora_moe", argv)  # before torch is imported: --help and mistakes are answered at once

    from isrbench.methods.lora_moe.adapter import SPEC
    from isrbench.methods.onestep.train import run

    return run.train(argv, SPEC)
