"""OSEDiff, ready to restore."""

from __future__ import annotations

from isrbench.harness.api.method import Runtime
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.options import OneStepOptions
from isrbench.methods.osediff.adapter import SPEC
from isrbench.methods.osediff.authors import read


def build(options: OneStepOptions, runtime: Runtime) -> OneStepMethod:
    """Load the base and the dense LoRA; see :func:`isrbench.methods.onestep.infer.building.build_method`."""
    return build_method(options, runtime, SPEC, read)
