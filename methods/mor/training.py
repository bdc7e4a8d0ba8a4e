"""Training of MoR-SR."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.methods.mor.adapter import SPEC
from isrbench.methods.onestep.train import run


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.run.train`."""
    return run.train(argv, SPEC)
