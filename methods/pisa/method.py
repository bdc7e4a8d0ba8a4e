"""PiSA-SR, ready to restore."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from isrbench.harness.api.method import Runtime
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.lora import LoraAdapter
from isrbench.methods.pisa.adapter import SPEC, adjusted
from isrbench.methods.pisa.authors import read
from isrbench.methods.pisa.options import PisaOptions


def build(options: PisaOptions, runtime: Runtime) -> OneStepMethod:
    """Load the base and both LoRAs; see :func:`isrbench.methods.onestep.infer.building.build_method`."""
    method = build_method(options, runtime, SPEC, read)
    adapter = cast(LoraAdapter, method.adapter)
    return replace(method, passes=adjusted(adapter, options.lambda_pix, options.lambda_sem))
