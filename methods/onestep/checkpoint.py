"""An adapter on disk: one safetensors file whose header says what it is, for which base, and how it was trained."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from isrbench.harness.api.checkpoints import first_keys
from isrbench.harness.api.tensor_files import check_weights, damaged_safetensors
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import is_there, replacing
from isrbench.harness.identity import tensors_hash

FORMAT = "isrbench.onestep-adapter/2"
_FIELDS = ("method", "base", "config", "training", "timestep")
_ROUTERS = "router."
_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""Names of dtypes in a safetensors header."""
_TRAINING = {
    "data": dict, "prompt": str, "colour_fix": str, "estimator": str, "estimator_id": str, "routed_by": str,
    "logit_scale": (int, float),
}  # fmt: skip
"""What is read of ``training`` by those who attach the adapter; each may be absent or None."""
_LARGE = 1024
"""A rank or a number of experts that only a file of such tensors may ask for."""
_LARGEST_SCALE = 1e6
"""Far above any temperature of a softmax over cosine similarities; CLIP's is 100."""
_ALIGNMENT = 8
_SHOWN = 12
"""Digits of a hash in messages."""


@dataclass(frozen=True)
class AdapterCheckpoint:
    """A trained adapter with all that is needed to attach it again."""

    method: str
    """Id of the method that can attach it: ``osediff``, ``lora_moe``, ``mor`` or a plugin's."""
    config: dict[str, Any]
    """The adapter's config as JSON values: ranks, targets, routing choices."""
    base: str
    """:func:`base_hash` of the base it was trained on; empty where the source did not record it."""
    state: dict[str, Tensor]
    """What the adapter's ``state_dict`` returned, on the CPU."""
    training: dict[str, Any] = field(default_factory=dict)
    """How it was trained, as JSON values: steps, seed, losses, data, estimator."""
    timestep: int = 999
    """The diffusion timestep that its one step starts from."""


def save_adapter(path: Path, checkpoint: AdapterCheckpoint, dtype: torch.dtype | None = None) -> None:
    """Write ``checkpoint`` to ``path`` in one step: a reader never sees half a file. Equal checkpoints, equal bytes.

    Args:
        path: The ``.safetensors`` file; its folder is made where it is missing.
        checkpoint: What to write. Config and training must be JSON values.
        dtype: Cast floating-point tensors to this on the way (float16 halves a shipped preset); None keeps them.
            Routers (``router.*``) keep their own: rounded, they would break near ties between experts differently.
    """
    header = {
        "format": FORMAT,
        "method": checkpoint.method,
        "base": checkpoint.base,
        "config": json.dumps(checkpoint.config, sort_keys=True),
        "training": json.dumps(checkpoint.training, sort_keys=True),
        "timestep": str(checkpoint.timestep),
    }
    state = {
        name: _storable(tensor, None if name.startswith(_ROUTERS) else dtype)
        for name, tensor in checkpoint.state.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial_file:
        _write(partial_file, state, header)


def load_adapter(path: Path, *, method: str | None = None, base: str | None = None) -> AdapterCheckpoint:
    """Read and check an adapter file.

    Args:
        path: A file that :func:`save_adapter` wrote.
        method: The method that wants to attach it; None accepts any.
        base: Hash of the base that it is going to be attached to; None skips that check.

    Returns:
        The checkpoint, tensors on the CPU in the stored dtype.

    Raises:
        UserError: If the file is missing, truncated or not an adapter, if its header is damaged, or if it is of another
            method or for another base.
    """
    header, state = _read(path)
    if header.get("format") != FORMAT:
        raise UserError(
            f"{path} is a safetensors file, but not an adapter of this release (format {header.get('format')!r}, "
            f"not {FORMAT!r}); its first names: {first_keys(state)}",
            "pass a file that `isrbench train` of this release wrote, or train it again",
        )
    checkpoint = _checkpoint(path, header, state)
    if method is not None and checkpoint.method != method:
        raise UserError(
            f"{path} is an adapter of method '{checkpoint.method}', not of '{method}'",
            f"run it with --method {checkpoint.method}",
        )
    if base is not None and checkpoint.base and checkpoint.base != base:
        raise UserError(
            f"{path} was trained on another base (hash {checkpoint.base[:_SHOWN]}, this base's is {base[:_SHOWN]})",
            "pass the `base` it was trained on; `training` in the file's header names it",
        )
    return checkpoint


def base_hash(unet: nn.Module, vae: nn.Module, *, extra: str = "", half: bool = True) -> str:
    """Return the sha256 of a frozen base, in hex: its networks' configs and every value of their tensors.

    Of a config counts what differs from the class's defaults: a newer diffusers with more fields changes nothing.
    Take it before adapters are attached and before casting to the dtype that is asked for.

    Args:
        unet: The UNet with real weights.
        vae: The VAE, likewise.
        extra: What else makes this base what it is, such as its noise schedule and its prompts.
        half: Take the values in float16: an adapter then fits the float32 and the float16 file of one base. It says
            which base this is, not which images it gives; for the latter the values have to count as they are.
    """
    parts = [[_config(model), tensors_hash(model.state_dict(), half=half)] for model in (unet, vae)]
    return hashlib.sha256(json.dumps([extra, parts], sort_keys=True).encode()).hexdigest()


def _config(model: Any) -> dict[str, Any]:
    """The fields of a diffusers model's config that are not at their defaults."""
    fields = inspect.signature(type(model).__init__).parameters
    plain = partial(json.dumps, default=str)  # a tuple is the list that a file holds
    return {n: v for n, v in model.config.items() if n in fields and plain(v) != plain(fields[n].default)}


def _checkpoint(path: Path, header: Mapping[str, str], state: dict[str, Tensor]) -> AdapterCheckpoint:
    """Read the header's fields."""
    fix = "pass a file that `isrbench train` wrote, or train it again"
    missing = [name for name in _FIELDS if name not in header]
    if missing:
        raise UserError(f"the header of {path} has no '{missing[0]}'", fix)
    with foreign(f"the header of {path} is damaged", fix):
        config, training = json.loads(header["config"]), json.loads(header["training"])
        timestep = int(header["timestep"])
        if not (isinstance(config, dict) and isinstance(training, dict)):
            raise ValueError("config and training are not both JSON objects")
        _check_plausible(config, training, state)
    return AdapterCheckpoint(header["method"], config, header["base"], state, training, timestep)


def _check_plausible(config: Mapping[str, Any], training: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Check a header before anything is built of it, for which a mistyped size could ask for petabytes.

    Raises:
        ValueError: If a size is large and exceeds every side of every tensor, or a field is of another type.
    """
    longest = max((side for tensor in state.values() for side in tensor.shape), default=0)
    for name, value in config.items():
        if isinstance(value, int) and value > max(longest, _LARGE):
            raise ValueError(f"{name} is {value}, but no tensor in the file has a side longer than {longest}")
    for name, kind in _TRAINING.items():
        value = training.get(name)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"{name} of training is of type {type(value).__name__}")
    if not 0 < (training.get("logit_scale") or 1) < _LARGEST_SCALE:
        raise ValueError(f"logit_scale of training is {training['logit_scale']}")


def _storable(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.detach().to("cpu", dtype if dtype is not None and tensor.is_floating_point() else None).contiguous()


def _write(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; the library's own writer puts the metadata in random order.

    Layout: the header's length as 8 little-endian bytes, the header as JSON, the tensors' bytes. Large items come
    first, so that all are aligned.
    """
    names = sorted(state, key=lambda name: (-state[name].element_size(), name))
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name in names:
        end = start + state[name].numel() * state[name].element_size()
        dtype = _DTYPES[state[name].dtype]
        entries[name] = {"dtype": dtype, "shape": list(state[name].shape), "data_offsets": [start, end]}
        start = end
    header = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in names:
            file.write(state[name].flatten().view(torch.uint8).numpy().data)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not is_there(path):
        raise UserError(f"the adapter file {path} does not exist", "pass the path of a .safetensors file")
    check_weights(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged_safetensors(path, error) from error
