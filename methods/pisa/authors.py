"""Import of the authors' ``pisa_sr.pkl``: a dict of module lists, ranks, and peft-named tensors of six adapters."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.authors import check_keys, check_modules, load_pickle, lora_matrices, lora_rank
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.targets import unet_targets
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint
from isrbench.methods.onestep.lora import Lora, LoraConfig
from isrbench.methods.pisa.adapter import LORAS

_GROUPS = ("encoder", "decoder", "others")
_ALPHA = 8
"""peft's default, which the authors leave."""
_TIMESTEP = 1
_FIX = "pass the pisa_sr.pkl that the authors publish"


def read(path: Path, base: DiffusionBase) -> AdapterCheckpoint:
    """Read the authors' layout; a pickle that would run code is refused.

    Keys, for ``P`` of pix and sem and ``G`` of encoder, decoder and others: ``unet_lora_G_modules_P`` (names of
    modules), ``lora_rank_unet_P``, and ``state_dict_unet`` with ``MODULE.lora_A.default_G_P.weight`` and ``lora_B``.

    Args:
        path: ``pisa_sr.pkl``.
        base: What the adapter is going to be attached to.

    Raises:
        UserError: If the file is missing, damaged, holds code or an entry that has no place, or does not fit the base.
    """
    content = load_pickle(path, _FIX)
    lists = {name: [f"unet_lora_{group}_modules_{name}" for group in _GROUPS] for name in LORAS}
    ranks = {name: f"lora_rank_unet_{name}" for name in LORAS}
    check_keys(path, content, ["state_dict_unet", *ranks.values(), *(k for keys in lists.values() for k in keys)], _FIX)
    matrices = lora_matrices(path, content["state_dict_unet"], _FIX)
    loras: dict[str, Lora] = {}
    state: dict[str, Tensor] = {}
    for name in LORAS:
        modules: list[str] = []
        for group, key in zip(_GROUPS, lists[name], strict=True):
            listed = content[key]
            if not (isinstance(listed, (list, tuple)) and all(isinstance(module, str) for module in listed)):
                raise UserError(f"{path} has as {key} something other than a list of names", _FIX)
            modules += listed
            own = matrices.pop(f"default_{group}_{name}", {})
            check_modules(path, f"{group} ({name})", own, listed)
            for module, pair in own.items():
                state |= {f"unet.{module}.{name}.{which}": matrix for which, matrix in pair.items()}
        check_modules(path, "UNet", modules, unet_targets(base.unet))
        rank = lora_rank(path, ranks[name], content[ranks[name]], _FIX)
        loras[name] = Lora(tuple(f"unet.{module}" for module in modules), rank, _ALPHA / rank)
    for adapter in matrices:
        raise UserError(f"{path} has tensors of an unknown adapter '{adapter}'", _FIX)
    return AdapterCheckpoint("pisa", LoraConfig(loras).to_json(), "", state, timestep=_TIMESTEP)
