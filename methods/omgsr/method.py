"""OMGSR-S, ready to restore."""

from __future__ import annotations

from isrbench.harness.api.method import Runtime
from isrbench.methods.omgsr.adapter import SPEC
from isrbench.methods.omgsr.authors import read
from isrbench.methods.omgsr.options import OmgsrOptions
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.method import OneStepMethod


def build(options: OmgsrOptions, runtime: Runtime) -> OneStepMethod:
    """Load the base and its LoRAs; see :func:`isrbench.methods.onestep.infer.building.build_method`."""
    return build_method(options, runtime, SPEC, read)
