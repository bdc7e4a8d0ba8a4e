"""Training of LoRA + MoE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from isrbench.harness.api.download import TrainingNeeds
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.train import launch
from isrbench.methods.onestep.train.needs import training_needs

if TYPE_CHECKING:
    from isrbench.methods.onestep.adapter import AdapterSpec


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.launch.train`."""
    return launch.train("lora_moe", argv, _spec, [field.name for field in fields(MoRConfig)])


def needs(argv: Sequence[str]) -> TrainingNeeds:
    """Return what a training needs; see :func:`isrbench.methods.onestep.train.needs.training_needs`."""
    return training_needs("lora_moe", argv, routes=True)


def _spec() -> AdapterSpec:
    from isrbench.methods.lora_moe.adapter import SPEC

    return SPEC
