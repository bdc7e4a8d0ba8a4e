"""Import of the authors' ``osediff.pkl``: a dict of module lists, ranks, and peft-named tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from isrbench.harness.api.checkpoints import without_wrappers
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.authors import check_modules, load_pickle
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.targets import unet_targets, vae_targets
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, load_adapter

_LISTS = ("unet_lora_encoder_modules", "unet_lora_decoder_modules", "unet_lora_others_modules")
_KEYS = (*_LISTS, "vae_lora_encoder_modules", "rank_unet", "rank_vae", "state_dict_unet", "state_dict_vae")
_LORA = re.compile(r"(?P<module>.+)\.lora_(?P<matrix>[AB])\.[^.]+\.weight")
_ALPHA = 8.0
_FIX = "pass the osediff.pkl that the authors publish"


def read(path: Path, base: DiffusionBase) -> AdapterCheckpoint:
    """Read an adapter file of this project, or the authors' layout where the name ends in ``.pkl``.

    Raises:
        UserError: If the file is missing, damaged, holds code, or does not fit the base.
    """
    if path.suffix == ".pkl":
        return read_pickle(path, base)
    return load_adapter(path, method="osediff", base=base.base_hash)


def read_pickle(path: Path, base: DiffusionBase) -> AdapterCheckpoint:
    """Read the authors' layout; a pickle that would run code is refused.

    Args:
        path: ``osediff.pkl``.
        base: The pristine base: ``conv_in`` is stored whole there, and as its change here.

    Raises:
        UserError: As :func:`read`.
    """
    content = load_pickle(path, _FIX)
    for wrong in _misfits(content):
        raise UserError(f"{path} {wrong}", _FIX)
    check_modules(path, "UNet", [name for key in _LISTS for name in content[key]], unet_targets(base.unet))
    check_modules(path, "VAE", content["vae_lora_encoder_modules"], vae_targets(base.vae))
    state: dict[str, Tensor] = {}
    for part in ("vae", "unet"):
        for name, tensor in without_wrappers(content[f"state_dict_{part}"]).items():
            renamed = _renamed(path, part, name, tensor, base)
            if state.keys() & renamed.keys():
                raise UserError(f"{path} has '{name}' a second time, under another adapter's name", _FIX)
            state |= renamed
    config = {
        "rank": content["rank_unet"],
        "rank_vae": content["rank_vae"],
        "alpha": _ALPHA,
        "train_conv_in": "unet.conv_in.weight" in state,
    }
    return AdapterCheckpoint("osediff", config, "", state)


def _misfits(content: dict[str, Any]) -> Iterator[str]:
    """Say what is missing or of a wrong type. Names may come twice: the authors' code lists VAE modules repeatedly."""
    for key in _KEYS:
        if key not in content:
            yield f"has no '{key}'"
            continue
        value = content[key]
        if key.startswith("rank_"):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                yield f"has {key} {value!r}, which is not a rank"
        elif key.startswith("state_dict_"):
            if not isinstance(value, dict):
                yield f"has a {type(value).__name__} as {key}, not a dict of tensors"
                continue
            for name, tensor in value.items():
                if not (isinstance(name, str) and isinstance(tensor, Tensor) and tensor.is_floating_point()):
                    yield f"has in {key} an entry {name!r} that is not a tensor of numbers"
        elif not (isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)):
            yield f"has as {key} something other than a list of names"


def _renamed(path: Path, part: str, name: str, tensor: Tensor, base: DiffusionBase) -> dict[str, Tensor]:
    found = _LORA.fullmatch(name)
    if found:
        return {f"{part}.{found['module']}.{found['matrix']}": tensor.float()}
    first = base.unet.conv_in
    if part == "unet" and name in ("conv_in.base_layer.weight", "conv_in.base_layer.bias"):
        which = name.rpartition(".")[2]
        own = getattr(first, which).detach().cpu().float()
        if own.shape != tensor.shape:
            raise UserError(f"{path}: '{name}' is {tuple(tensor.shape)}, the base's is {tuple(own.shape)}", _FIX)
        return {f"unet.conv_in.{which}": tensor.float() - own}
    raise UserError(f"{path} has an unexpected tensor '{name}'", _FIX)
