"""Random weights of Stable Diffusion 2.1's size as the files that a method loads: for times, where none are at hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.methods.lora_moe.adapter import SPEC as LORA_MOE
from isrbench.methods.mor.adapter import SPEC as MOR
from isrbench.methods.onestep.base.load import random_sd21
from isrbench.methods.onestep.base.tiny import save_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, save_adapter
from isrbench.methods.osediff.adapter import SPEC as OSEDIFF

SPECS = {spec.id: spec for spec in (LORA_MOE, MOR, OSEDIFF)}
"""Adapters that can be drawn, by the method's id."""


def write_random_sd21(method: str, folder: Path) -> dict[str, str]:
    """Write a base in fp16 and an adapter as it is before training into a folder: about 2 GB.

    Args:
        method: One of SPECS.
        folder: Which exists.

    Returns:
        Options of the method that name both, and the estimator of a method that routes.

    Raises:
        UserError: If it is another method.
    """
    if method not in SPECS:
        raise UserError(f"no random weights are drawn for {method}", f"choose one of {', '.join(SPECS)}")
    spec, base, path = SPECS[method], random_sd21(), folder / "adapter.safetensors"
    adapter = spec.attach(base.unet, base.vae, spec.default, 0)
    save_adapter(path, AdapterCheckpoint(method, asdict(spec.default), "", adapter.state_dict()))
    adapter.detach()
    positive, negative = base.text.pair("", "")
    save_base(folder / "base", base.vae, base.unet, {"positive": positive, "negative": negative})
    options = {"base": str(folder / "base"), "adapter": str(path)}
    return options | {"estimator": "tiny"} if spec.routes else options
