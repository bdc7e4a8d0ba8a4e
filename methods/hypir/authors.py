"""Import of the authors' ``HYPIR_sd2.pth``: the tensors of one LoRA as peft names them, and nothing else."""

from __future__ import annotations

from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.methods.hypir.adapter import TARGETS, TIMESTEP
from isrbench.methods.onestep.authors import check_modules, load_pickle, lora_matrices
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.targets import named_modules
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint
from isrbench.methods.onestep.lora import Lora, LoraConfig

_ADAPTER = "default"
_SCALE = 1.0
"""The authors set peft's alpha to the rank."""
_FIX = "pass the HYPIR_sd2.pth that the authors publish: isrbench fetch weights --method hypir"


def read(path: Path, base: DiffusionBase) -> AdapterCheckpoint:
    """Read the authors' layout; a pickle that would run code is refused.

    It has ``MODULE.lora_A.default.weight`` and ``lora_B`` of every adapted module of the UNet; the rank is A's first
    dimension.

    Args:
        path: ``HYPIR_sd2.pth``.
        base: What the adapter is going to be attached to.

    Raises:
        UserError: If the file is missing, damaged, holds code or anything but this LoRA, or does not fit the base.
    """
    matrices = lora_matrices(path, load_pickle(path, _FIX), _FIX)
    modules = matrices.pop(_ADAPTER, {})
    for adapter in matrices:
        raise UserError(f"{path} has tensors of an unknown adapter '{adapter}'", _FIX)
    wanted = named_modules(base.unet, TARGETS)
    check_modules(path, "UNet", modules, wanted)
    ranks = {len(pair["A"]) for pair in modules.values()}
    if len(ranks) != 1:
        raise UserError(f"{path} has LoRAs of ranks {', '.join(map(str, sorted(ranks)))}, not of one", _FIX)
    lora = Lora(tuple(f"unet.{name}" for name in wanted), ranks.pop(), _SCALE)
    state = {f"unet.{name}.unet.{which}": matrix for name, pair in modules.items() for which, matrix in pair.items()}
    training = {"colour_fix": "wavelet"}
    return AdapterCheckpoint("hypir", LoraConfig({"unet": lora}).to_json(), "", state, training, TIMESTEP)
