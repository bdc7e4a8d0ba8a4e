"""Import of the authors' folder: two adapters as peft saves them, each a config and a safetensors file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from isrbench.harness.api.tensor_files import read_tensors
from isrbench.harness.documents import read_json
from isrbench.harness.errors import UserError
from isrbench.methods.omgsr.adapter import CONFIG, TIMESTEP, UNET, VAE_ENCODER, WEIGHTS
from isrbench.methods.onestep.authors import check_modules, lora_matrices, lora_rank
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.targets import named_modules, unet_targets, vae_targets
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint
from isrbench.methods.onestep.lora import Lora, LoraConfig

_PREFIX = "base_model.model."
"""What peft puts before the names of a wrapped model's modules."""
_PLAIN = {
    "peft_type": "LORA", "bias": "none", "fan_in_fan_out": False, "use_rslora": False, "use_dora": False,
    "lora_bias": False, "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None,
}  # fmt: skip
"""Settings that would change what the tensors mean; each may be left out."""
_STARTS = (True, False, "gaussian")
"""Values of ``init_lora_weights`` that leave the base's own weights alone; others (PiSSA, OLoRA, ...) change them."""
_FIX = "pass the folder that the authors publish, with unet_lora_adapter/ and vae_encoder_lora_adapter/"


def read(path: Path, base: DiffusionBase) -> AdapterCheckpoint:
    """Read the authors' layout.

    ``unet_lora_adapter/`` is of the UNet and ``vae_encoder_lora_adapter/`` of the VAE's encoder. In each,
    ``adapter_config.json`` says rank, alpha and ``target_modules`` by the ends of their names, and
    ``adapter_model.safetensors`` has ``base_model.model.MODULE.lora_A.weight`` and ``lora_B``.

    Args:
        path: The folder.
        base: What the adapter is going to be attached to.

    Raises:
        UserError: If a file is missing, damaged, of another kind of adapter, or does not fit the base.
    """
    encoder = [name.removeprefix("encoder.") for name in vae_targets(base.vae) if name.startswith("encoder.")]
    vae, state_vae = _read(path / VAE_ENCODER, base.vae.encoder, encoder, "vae", "encoder.")
    unet, state_unet = _read(path / UNET, base.unet, unet_targets(base.unet), "unet", "")
    return AdapterCheckpoint(
        "omgsr", LoraConfig({"vae": vae, "unet": unet}).to_json(), "", state_vae | state_unet, timestep=TIMESTEP
    )


def _read(
    folder: Path, model: nn.Module, adapted: Collection[str], part: str, inside: str
) -> tuple[Lora, dict[str, Tensor]]:
    """Read one adapter of the model that lies at ``inside`` in ``part``; the LoRA is called as the part.

    ``adapted`` are the modules of it whose output positions the family counts.
    """
    config = _config(folder / CONFIG)
    rank = lora_rank(folder / CONFIG, "r", config["r"], _FIX)
    alpha, names = config["lora_alpha"], config["target_modules"]
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not alpha > 0:
        raise UserError(f"{folder / CONFIG} has lora_alpha {alpha!r}, which is not a positive number", _FIX)
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise UserError(f"{folder / CONFIG} has as target_modules something other than a list of names", _FIX)
    path = folder / WEIGHTS
    adapters = lora_matrices(path, read_tensors(path, _FIX), _FIX, _PREFIX)
    modules = adapters.pop("", {})
    for adapter in adapters:
        raise UserError(f"{path} has tensors of an unknown adapter '{adapter}'", _FIX)
    wanted = named_modules(model, names)
    check_modules(path, part, modules, wanted)
    for name in wanted:
        if name not in adapted:
            raise UserError(f"{folder / CONFIG} adapts '{name}', which no method of the family does", _FIX)
    layers = tuple(f"{part}.{inside}{name}" for name in wanted)
    state = {
        f"{part}.{inside}{name}.{part}.{which}": matrix
        for name, pair in modules.items()
        for which, matrix in pair.items()
    }
    return Lora(layers, rank, alpha / rank), state


def _config(path: Path) -> dict[str, Any]:
    config = read_json(path, _FIX)
    for name in ("r", "lora_alpha", "target_modules"):
        if not isinstance(config, dict) or name not in config:
            raise UserError(f"{path} has no '{name}'", _FIX)
    for name, plain in _PLAIN.items():
        if (found := config.get(name) or plain) != plain:
            raise UserError(f"{path} has {name} {found!r}, which OMGSR-S does not use", _FIX)
    for name, value in config.items():
        changed = bool(value) if name.startswith("use_") else name == "init_lora_weights" and value not in _STARTS
        if changed:
            raise UserError(f"{path} has {name} {value!r}, which OMGSR-S does not use", _FIX)
    return config
