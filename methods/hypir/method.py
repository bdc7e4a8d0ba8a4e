"""HYPIR-SD2, ready to restore."""

from __future__ import annotations

from dataclasses import replace

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.weights import location
from isrbench.methods.hypir.adapter import SPEC
from isrbench.methods.hypir.authors import read
from isrbench.methods.hypir.options import WEIGHTS, HypirOptions
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.method import OneStepMethod


def build(options: HypirOptions, runtime: Runtime) -> OneStepMethod:
    """Load the base and the LoRA; see :func:`isrbench.methods.onestep.infer.building.build_method`.

    Raises:
        UserError: If the weights are not here, or something does not fit.
    """
    if options.adapter is None:
        path = location(WEIGHTS)
        if not path.is_file():
            raise UserError(
                f"the weights of hypir are not here: {path} does not exist",
                "isrbench fetch weights --method hypir (their base: isrbench fetch training --preset sd21)",
            )
        options = replace(options, adapter=path)
    return build_method(options, runtime, SPEC, read)
