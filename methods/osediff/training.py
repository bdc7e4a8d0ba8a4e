"""Training of OSEDiff's adapter."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.methods.onestep.train import run
from isrbench.methods.osediff.adapter import SPEC


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.run.train`."""
    return run.train(argv, SPEC)
