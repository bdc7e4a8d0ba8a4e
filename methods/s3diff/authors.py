"""Import of the authors' ``s3diff.pkl``: target modules, ranks, peft-named LoRAs, and what modulates them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.authors import check_keys, check_modules, load_pickle, lora_matrices, lora_rank
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint
from isrbench.methods.s3diff.adapter import S3DiffConfig, targets
from isrbench.methods.s3diff.options import POSITIVE

_TIMESTEP = 999
_ADAPTERS = {"vae": "vae_skip", "unet": "default"}
"""Under which name peft keeps the LoRA of each model."""
_PARTS = {
    "de_mlp": ("degradation", "0."),
    "block_mlp": ("block", "0."),
    "fuse_mlp": ("fuse", ""),
}
"""Small layers by their name in the file: what they are called here, and what stands before weight and bias."""
_BASE = "stabilityai/sd-turbo, or a folder with SD-Turbo"
_FIX = "pass the s3diff.pkl that the authors publish"


def read(path: Path, base: DiffusionBase) -> AdapterCheckpoint:
    """Read the authors' layout; a pickle that would run code is refused.

    Keys, for ``P`` of vae and unet: ``P_lora_target_modules`` (what peft was given: names' ends, or an expression; the
    tensors' own names are what counts), ``rank_P``, ``state_dict_P`` with ``MODULE.lora_A.NAME.weight`` and ``lora_B``
    (and the UNet's whole ``conv_in``), ``state_dict_P_de_mlp``, ``_block_mlp`` and ``_fuse_mlp``, ``w`` (the Fourier
    frequencies), and ``state_embeddings`` with ``state_dict_P_block``.

    Args:
        path: ``s3diff.pkl``.
        base: What the adapter is going to be attached to.

    Raises:
        UserError: If the file is missing, damaged, holds code or an entry that has no place, or does not fit the base.
    """
    content = load_pickle(path, _FIX)
    keys = [
        key
        for part in _ADAPTERS
        for key in (
            f"{part}_lora_target_modules", f"rank_{part}", f"state_dict_{part}",
            *(f"state_dict_{part}_{name}" for name in _PARTS),
        )
    ]  # fmt: skip
    check_keys(path, content, [*keys, "w", "state_embeddings"], _FIX)
    state = {"modulation.frequencies": _tensor(path, "w", content["w"])}
    wanted = targets(base.unet, base.vae)
    for part in _ADAPTERS:
        _check_targets(path, f"{part}_lora_target_modules", content[f"{part}_lora_target_modules"])
        state |= _loras(path, part, content[f"state_dict_{part}"], wanted[part])
        for name, (own, prefix) in _PARTS.items():
            layer = _named(path, f"state_dict_{part}_{name}", content, (f"{prefix}weight", f"{prefix}bias"))
            state |= {f"modulation.{part}.{own}.{key.removeprefix(prefix)}": tensor for key, tensor in layer.items()}
    embeddings = content["state_embeddings"]
    names = {f"state_dict_{part}_block": part for part in _ADAPTERS}
    if not isinstance(embeddings, dict):
        raise UserError(f"{path} has as state_embeddings something other than a dict", _FIX)
    check_keys(path, embeddings, names, _FIX)
    for key, part in names.items():
        state[f"modulation.{part}.embeddings"] = _named(path, key, embeddings, ("weight",))["weight"]
    ranks = {part: lora_rank(path, f"rank_{part}", content[f"rank_{part}"], _FIX) for part in _ADAPTERS}
    config = S3DiffConfig(rank_unet=ranks["unet"], rank_vae=ranks["vae"])
    training = {"prompt": POSITIVE, "colour_fix": "wavelet"}
    return AdapterCheckpoint("s3diff", asdict(config), "", state, training, _TIMESTEP)


def _loras(path: Path, part: str, tensors: Any, wanted: list[str]) -> dict[str, Tensor]:
    """One model's LoRA, and the whole tensors of ``conv_in`` where it is the UNet."""
    state: dict[str, Tensor] = {}
    if part == "unet" and isinstance(tensors, dict):
        tensors = dict(tensors)
        for name in ("conv_in.weight", "conv_in.bias"):
            if name not in tensors:
                raise UserError(f"{path} has no '{name}' of the UNet", _FIX)
            state[f"unet.{name}"] = _tensor(path, name, tensors.pop(name))
    adapters = lora_matrices(path, tensors, _FIX)
    modules = adapters.pop(_ADAPTERS[part], {})
    for adapter in adapters:
        raise UserError(f"{path} has tensors of an unknown adapter '{adapter}'", _FIX)
    check_modules(path, "UNet" if part == "unet" else "VAE", modules, wanted, _BASE)
    for module, pair in modules.items():
        state |= {f"{part}.{module}.A": pair["A"], f"{part}.{module}.B": pair["B"].flatten(1)}
    return state


def _named(path: Path, key: str, content: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of one small layer."""
    found = content[key]
    if not isinstance(found, dict):
        raise UserError(f"{path} has as {key} something other than a dict", _FIX)
    check_keys(path, found, names, _FIX)
    return {name: _tensor(path, f"{key}: {name}", found[name]) for name in names}


def _tensor(path: Path, name: str, value: Any) -> Tensor:
    if not (isinstance(value, Tensor) and value.is_floating_point()):
        raise UserError(f"{path} has an entry {name!r} that is not a tensor of numbers", _FIX)
    return value.detach().float()


def _check_targets(path: Path, key: str, value: Any) -> None:
    listed = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    if not (listed or isinstance(value, str)):
        raise UserError(f"{path} has as {key} neither names nor an expression", _FIX)
