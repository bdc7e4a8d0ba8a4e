"""MoR-SR, ready to restore."""

from __future__ import annotations

from isrbench.harness.api.method import Runtime
from isrbench.methods.mor.adapter import SPEC
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.options import MixtureOptions


def build(options: MixtureOptions, runtime: Runtime) -> OneStepMethod:
    """Load the base and the mixture of ranks; see :func:`isrbench.methods.onestep.infer.building.build_method`."""
    return build_method(options, runtime, SPEC)
