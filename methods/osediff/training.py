"""Training of OSEDiff's adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isrbench.harness.api.download import TrainingNeeds
from isrbench.methods.onestep.train import launch
from isrbench.methods.onestep.train.needs import training_needs

if TYPE_CHECKING:
    from isrbench.methods.onestep.adapter import AdapterSpec

FIELDS = ("rank", "rank_vae", "alpha", "train_conv_in")
"""Of :class:`isrbench.methods.osediff.adapter.DenseConfig`, which imports torch."""


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.launch.train`."""
    return launch.train("osediff", argv, _spec, FIELDS)


def needs(argv: Sequence[str]) -> TrainingNeeds:
    """Return what a training needs; see :func:`isrbench.methods.onestep.train.needs.training_needs`."""
    return training_needs("osediff", argv, routes=False)


def _spec() -> AdapterSpec:
    from isrbench.methods.osediff.adapter import SPEC

    return SPEC
