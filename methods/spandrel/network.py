"""A network that spandrel recognises, as a method."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from spandrel import (
    MAIN_REGISTRY,
    ImageModelDescriptor,
    ModelDescriptor,
    ModelLoader,
    ModelTiling,
    UnsupportedDtypeError,
    UnsupportedModelError,
)
from torch import Tensor

from isrbench.harness.api.checkpoints import first_keys, networks
from isrbench.harness.api.complexity import count_macs, count_parameters
from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.api.speed import check_compiler, compile_networks, compiled, uncompiled
from isrbench.harness.api.tensor_files import FETCH_AGAIN, first_line, read_tensors
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, is_there
from isrbench.harness.imaging.tiling import count_tiles, run_in_tiles
from isrbench.methods.spandrel.ncnn import read_ncnn
from isrbench.methods.spandrel.options import NetworkOptions, SpandrelOptions

log = logging.getLogger(__name__)

_EXTRA = "spandrel_extra_arches"
_SHOWN = 4
_SUFFIXES = {".pth", ".pt", ".ckpt", ".bin", ".safetensors"}
_BROKEN = (KeyError, ValueError, RuntimeError, AttributeError, TypeError, IndexError, AssertionError)
"""What spandrel raises of weights that are some network's, but lack tensors or have others of another shape."""
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Network:
    """A loaded network (a :class:`isrbench.harness.api.method.Method`); built by :func:`load_network`.

    Args:
        model: spandrel's descriptor, on its device and of its dtype.
        options: How to tile.
        weights_hash: Hash of the weights.
    """

    def __init__(self, model: ImageModelDescriptor[Any], options: NetworkOptions, weights_hash: str) -> None:
        self._model, self._options, self.weights_hash = model, options, weights_hash

    @property
    def architecture(self) -> str:
        """Return spandrel's id of the architecture, such as ``ESRGAN``."""
        return self._model.architecture.id

    @property
    def compiles(self) -> bool:
        """Return whether torch compiles the network; see :class:`isrbench.harness.api.speed.Compiles`."""
        return self._options.compile

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Run the network on the whole image, or in blended tiles."""
        return self.restore_batch(lr[None], images=[image], seeds=[seed])[0]

    @torch.inference_mode()
    def restore_batch(self, lrs: Tensor, *, images: Sequence[str], seeds: Sequence[int]) -> list[Restored]:
        """Run the network on images of one size at once; see :class:`isrbench.harness.api.batch.Batches`.

        Where they are tiled, it is run on the same tile of all of them.
        """
        batch = lrs.to(self._model.device, self._model.dtype)
        with compiled(self.compiles):
            restored = run_in_tiles(self._model, batch, self._options, self._model.scale)
        return [Restored(one.float()) for one in restored]

    def cost(self, height: int, width: int) -> Cost:
        """Return the MACs, counted by torch over all tiles in one real pass with the padding that the network asks for.

        A real pass, since several of spandrel's architectures cannot run on the meta device (they fuse weights or
        build masks as they go).
        """
        tiles, side = count_tiles(height, width, self._options)
        lr = torch.zeros(1, 3, *side, device=self._model.device, dtype=self._model.dtype)
        with uncompiled(self.compiles):
            macs = count_macs(lambda: self._model(lr))
        return Cost(tiles * macs, params_total=count_parameters(self._model.model)[0])

    def input_hash(self, image: str) -> str:
        """Return "": images have no input of their own."""
        return ""


def load(options: SpandrelOptions, runtime: Runtime) -> Network:
    """Load the weights that the options name; see :func:`load_network`."""
    return load_network(options.weights, options, runtime)


def architectures() -> list[str]:
    """Return the ids of the architectures that spandrel knows."""
    return sorted(support.architecture.id for support in MAIN_REGISTRY.architectures())


def load_network(
    path: Path, options: NetworkOptions, runtime: Runtime, other: Path | None = None, share: float = 1.0
) -> Network:
    """Load the network of a weight file, or one between those of two.

    Args:
        path: A state dict of PyTorch, a safetensors file, or a ``.param`` of ncnn with its ``.bin`` beside it.
        options: How to run it.
        runtime: Scale and device.
        other: Weights of the same network trained for another effect; None = ``path`` alone.
        share: Of ``path``, 0 to 1: every tensor is share * path + (1 - share) * other (deep network interpolation,
            Wang et al., CVPR 2019).

    Raises:
        UserError: If the file is missing, holds pickled code or no network that spandrel knows, or the network does
            not fit scale, channels, dtype or tiling, or nothing is here that compiles it where it is to be compiled.
    """
    if options.compile:
        check_compiler(runtime.device)
    state = _state_dict(path)
    if other is not None:
        try:
            state = _between(state, _state_dict(other), share)
        except ValueError as error:
            raise UserError(f"{path} and {other} are not two of one network: {error}", "give two that are") from error
    model = _recognised(path, state)
    if not isinstance(model, ImageModelDescriptor) or (model.input_channels, model.output_channels) != (3, 3):
        raise UserError(f"{path} is a network for {model.purpose}, not from RGB to RGB", "choose another network")
    if model.scale != runtime.scale:
        raise UserError(
            f"{path} ({model.architecture.name}) enlarges x{model.scale}, but the dataset asks for x{runtime.scale}",
            f"choose weights for x{runtime.scale}",
        )
    if options.tile and model.tiling is ModelTiling.INTERNAL:
        raise UserError(f"{model.architecture.name} tiles by itself", "leave out -o tile")
    if options.tile and model.tiling is ModelTiling.DISCOURAGED:
        log.warning("%s looks at the whole image: tiles may differ visibly", model.architecture.name)
    try:
        model.to(runtime.device, _DTYPES[options.dtype]).eval()
    except UnsupportedDtypeError as error:
        name = model.architecture.name
        raise UserError(f"{name} cannot run in {options.dtype}", "write -o dtype=fp32") from error
    if options.channels_last:
        model.model.to(memory_format=torch.channels_last)
    if options.compile:
        compile_networks(runtime.device, model.model)
    return Network(model, options, _hash(path, *([other] if other else [])))


def _hash(*paths: Path) -> str:
    files = [f for p in paths for f in ((p, p.with_suffix(".bin")) if p.suffix.lower() == ".param" else (p,))]
    if len(files) == 1:
        return file_hash(files[0])
    return hashlib.sha256("\n".join(map(file_hash, files)).encode()).hexdigest()


def _between(one: Any, other: Any, share: float, name: str = "") -> Any:
    """Mix the tensors of two state dicts, however deep they lie; what is no tensor stays as it is in the first.

    Raises:
        ValueError: If names or shapes differ.
    """
    if isinstance(one, dict):
        if not isinstance(other, dict) or one.keys() != other.keys():
            raise ValueError(f"{name or 'the file'} has other names in it")
        return {key: _between(one[key], other[key], share, f"{name}.{key}".lstrip(".")) for key in one}
    if not isinstance(one, Tensor):
        return one
    if not isinstance(other, Tensor) or one.shape != other.shape:
        raise ValueError(f"{name} is of another shape")
    return share * one + (1 - share) * other if one.is_floating_point() else one


def _recognised(path: Path, state: Mapping[Any, Any]) -> ModelDescriptor:
    """Let spandrel tell the network: the file as it is, then without what training programs put around the weights.

    Raises:
        UserError: If it is none that spandrel knows, or incomplete.
    """
    extra = ask_extra_architectures()
    loader = ModelLoader()
    try:
        return loader.load_from_state_dict({key: value for key, value in state.items() if isinstance(key, str)})
    except UnsupportedModelError:
        pass  # the weights may lie inside of what a training program keeps: below
    except _BROKEN as error:
        raise UserError(f"{path} is incomplete or damaged: {first_line(error)}", FETCH_AGAIN) from error
    broken = ""
    for taken, inner in networks(state):
        try:
            model = loader.load_from_state_dict(inner)
        except UnsupportedModelError:
            continue
        except _BROKEN as error:
            broken = broken or f"what lies in '{taken}': {first_line(error)}"
            continue
        others = [f"'{name}'" for name, _ in networks(state) if not (name.startswith(taken) or taken.startswith(name))]
        if others:
            log.warning("%s: the network in '%s' is taken; there are also %s", path, taken, ", ".join(others[:_SHOWN]))
        return model
    if broken:
        raise UserError(f"{path} is incomplete or damaged: {broken}", FETCH_AGAIN)
    more = "" if extra else f"; further ones come with: pip install {_EXTRA}"
    raise UserError(
        f"{path} holds no network that spandrel knows; its first names: {first_keys(state)}",
        f"choose a network of one of these architectures: {', '.join(architectures())}{more}",
    )


@cache
def ask_extra_architectures() -> bool:
    """Add the architectures of spandrel's second package, whose licenses are not free; return whether it is there."""
    try:
        importlib.import_module(_EXTRA).install(ignore_duplicates=True)
    except ImportError:
        return False
    return True


def _state_dict(path: Path) -> dict[str, Any]:
    """Read weights without ever running code from the file: torch's own ``weights_only`` reader, or safetensors."""
    if not is_there(path):
        raise UserError(f"option 'weights': {path} does not exist", "give the weights: -o weights=FILE")
    suffix = path.suffix.lower()
    if suffix == ".param":
        return dict(read_ncnn(path))
    if suffix not in _SUFFIXES:
        raise UserError(
            f"option 'weights': {path} is not a .pth, .pt, .ckpt, .safetensors or .param file", "give a weight file"
        )
    return read_tensors(path)
