"""Random weights of Stable Diffusion 2.1's size as the files that a method loads: for times, where none are at hand."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.load import load_base, random_sd21
from isrbench.methods.onestep.base.tiny import save_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, save_adapter

METHODS = ("lora_moe", "mor", "osediff")
"""Methods of which an adapter can be drawn."""


def write_random_sd21(method: str, folder: Path) -> dict[str, str]:
    """Write a base in fp16 and an adapter for it, as it is before training, into a folder: about 2 GB.

    Args:
        method: One of METHODS.
        folder: Which exists.

    Returns:
        Options of the method that name both, and the estimator of a method that routes.

    Raises:
        UserError: If it is another method.
    """
    if method not in METHODS:
        raise UserError(f"no random weights are drawn for {method}", f"choose one of {', '.join(METHODS)}")
    drawn, generator = random_sd21(), torch.Generator().manual_seed(0)
    shape = (1, drawn.text.tokens, drawn.unet.config["cross_attention_dim"])
    prompts = {name: torch.randn(shape, generator=generator) for name in ("positive", "negative")}
    save_base(folder / "base", drawn.vae, drawn.unet, prompts)
    del drawn
    base = load_base(str(folder / "base"))
    spec = import_module(f"isrbench.methods.{method}.adapter").SPEC
    adapter = spec.attach(base.unet, base.vae, spec.default, 0)
    path = folder / "adapter.safetensors"
    save_adapter(path, AdapterCheckpoint(method, asdict(spec.default), base.base_hash, adapter.state_dict()))
    options = {"base": str(folder / "base"), "adapter": str(path)}
    return options | {"estimator": "tiny"} if spec.routes else options
