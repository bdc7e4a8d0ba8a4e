"""Training of OSEDiff's adapter."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.methods.onestep.train.config import parse_config


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.run.train`."""
    parse_config("osediff", argv)  # before torch is imported: --help and mistakes are answered at once

    from isrbench.methods.onestep.train import run
    from isrbench.methods.osediff.adapter import SPEC

    return run.train(argv, SPEC)
