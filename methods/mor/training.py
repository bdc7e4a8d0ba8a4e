"""Training of MoR-SR."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.methods.onestep.train.config import parse_config


def train(argv: Sequence[str]) -> int:
    """Train as a command line says; see :func:`isrbench.methods.onestep.train.run.train`."""
    parse_config("mor", argv)  # before torch is imported: --help and mistakes are answered at once

    from isrbench.methods.mor.adapter import SPEC
    from isrbench.methods.onestep.train import run

    return run.train(argv, SPEC)
