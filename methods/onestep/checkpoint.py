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
from safetensors.torch import save_file
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing

FORMAT = "isrbench.onestep-adapter/1"
_FIELDS = ("kind", "base", "config", "training", "timestep")
_ROUTERS = "router."
_SAMPLED_VALUES = 64


@dataclass(frozen=True)
class AdapterCheckpoint:
    """A trained adapter with all that is needed to attach it again."""

    kind: str
    """Id of the method that can attach it: ``osediff``, ``lora_moe``, ``mor`` or a plugin's."""
    config: dict[str, Any]
    """The adapter's config as JSON values: ranks, targets, routing choices."""
    base: str
    """:func:`base_fingerprint` of the base it was trained on; empty where the source did not record it."""
    state: dict[str, Tensor]
    """What the adapter's ``state_dict`` gave, on the CPU."""
    training: dict[str, Any] = field(default_factory=dict)
    """How it was trained, as JSON values: steps, seed, losses, data, final metrics."""
    timestep: int = 999
    """The diffusion timestep that its one step starts from."""


def save_adapter(path: Path, checkpoint: AdapterCheckpoint, dtype: torch.dtype | None = None) -> None:
    """Write ``checkpoint`` to ``path`` in one step: a reader never sees half a file.

    Args:
        path: The ``.safetensors`` file; its folder is made where it is missing.
        checkpoint: What to write. Config and training must be JSON values.
        dtype: Cast floating-point tensors to this on the way (float16 halves a shipped preset); None keeps them.
            Routers (``router.*``) keep their own: rounded, they would break near ties between experts differently.
    """
    header = {
        "format": FORMAT,
        "kind": checkpoint.kind,
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
    with replacing(path) as partial:
        save_file(state, partial, metadata=header)


def load_adapter(path: Path, *, kind: str | None = None, base: str | None = None) -> AdapterCheckpoint:
    """Read and check an adapter file.

    Args:
        path: A file that :func:`save_adapter` wrote.
        kind: The method that wants to attach it; None accepts any.
        base: Fingerprint of the base that it is going to be attached to; None skips that check.

    Returns:
        The checkpoint, tensors on the CPU in the stored dtype.

    Raises:
        UserError: If the file is missing, truncated or no adapter, if its header is damaged, or if it is of another
            kind or for another base.
    """
    header, state = _read(path)
    if header.get("format") != FORMAT:
        raise UserError(
            f"{path} is a safetensors file, but not an adapter of this family (format {header.get('format')!r})",
            "pass a file that `isrbench train` wrote",
        )
    checkpoint = _checkpoint(path, header, state)
    if kind is not None and checkpoint.kind != kind:
        raise UserError(
            f"{path} is an adapter of method '{checkpoint.kind}', not of '{kind}'",
            f"run it with --method {checkpoint.kind}",
        )
    if base is not None and checkpoint.base and checkpoint.base != base:
        raise UserError(
            f"{path} was trained on another base (fingerprint {checkpoint.base}, this base is {base})",
            "pass the `base` it was trained on; `training` in the file's header names it",
        )
    return checkpoint


def base_fingerprint(unet: nn.Module, vae: nn.Module, *, extra: str = "") -> str:
    """Identify a frozen base by its networks' configs and tensors (:func:`hash_tensors`).

    Of a config counts what differs from the class's defaults: a newer diffusers with more fields changes nothing.
    Take it before adapters are attached and before casting to bfloat16.

    Args:
        unet: The UNet with real weights.
        vae: The VAE, likewise.
        extra: What else makes this base what it is, such as its noise schedule and its prompts.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256(extra.encode())
    for model in (unet, vae):
        digest.update(json.dumps(_config(model), sort_keys=True).encode())
        hash_tensors(digest, model)
    return digest.hexdigest()[:16]


def hash_tensors(digest: Any, model: nn.Module) -> None:
    """Feed a model's tensors to ``digest``: of each its name, shape, first values and the sum of all its bit patterns.

    The sum is exact, and needs no hash of gigabytes. Values are taken in float16, so that the float32 and float16 files
    of one model are the same.
    """
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().to("cpu", torch.float16).flatten()
        total = int(values.view(torch.int16).sum(dtype=torch.int64))
        digest.update(f"{name}{tuple(tensor.shape)}{total}".encode())
        digest.update(values[:_SAMPLED_VALUES].numpy().tobytes())


def check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that a loaded state has exactly the expected names and shapes.

    Raises:
        UserError: Naming the first tensor that is missing, unknown or of another shape.
    """
    for name, tensor in expected.items():
        if name not in state:
            raise UserError(f"the adapter's state has no '{name}'", "pass a checkpoint of the same config and base")
        if state[name].shape != tensor.shape:
            raise UserError(
                f"the adapter's '{name}' is {tuple(state[name].shape)}, but the base and config need "
                f"{tuple(tensor.shape)}",
                "pass a checkpoint of the same config and base",
            )
    unknown = sorted(set(state) - set(expected))
    if unknown:
        raise UserError(
            f"the adapter's state has '{unknown[0]}', which the base and config have no place for",
            "pass a checkpoint of the same config and base",
        )


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
    try:
        config, training = json.loads(header["config"]), json.loads(header["training"])
        timestep = int(header["timestep"])
    except ValueError as error:
        raise UserError(f"the header of {path} is damaged: {error}", fix) from error
    if not (isinstance(config, dict) and isinstance(training, dict)):
        raise UserError(f"the header of {path} is damaged: config and training are not both JSON objects", fix)
    return AdapterCheckpoint(header["kind"], config, header["base"], state, training, timestep)


def _storable(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().to("cpu", dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype)
    return tensor.clone(memory_format=torch.contiguous_format)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise UserError(f"there is no adapter file {path}", "pass the path of a .safetensors file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} is no whole safetensors file: {error}", "fetch or train it again; it may be truncated"
        ) from error
