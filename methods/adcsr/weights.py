"""Reading of the authors' two files: every entry used, known to be of no use here, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isrbench.harness.api.checkpoints import without_wrappers
from isrbench.harness.errors import UserError
from isrbench.methods.adcsr.network import DECODER_GROUPS, HEAD, AdcSRNetwork, Sizes, build_network
from isrbench.methods.onestep.authors import load_pickle

_NETWORK_FIX = "pass net_params_200.pkl: hf download Guaishou74851/AdcSR weight/net_params_200.pkl"
_DECODER_FIX = "pass halfDecoder.ckpt: hf download Guaishou74851/AdcSR weight/pretrained/halfDecoder.ckpt"
_UNET, _MIDDLE = "body.1.", "body.2."
_ALIASES = {
    **{f"body.{n}.": f"down_blocks.{n}." for n in range(4)}, "body.4.": "mid_block.",
    **{f"body.{n + 5}.": f"up_blocks.{n}." for n in range(4)}, "body.9.": "conv_norm_out.", "body.11.": "conv_out.",
}  # fmt: skip
"""The UNet's blocks once more, as the authors run them one after the other."""
_OTHERS = ("encoder.", "quant_conv.", "post_quant_conv.", "loss.")
"""What the decoder was trained with."""
_RECORD = (
    "epoch", "global_step", "pytorch-lightning_version", "callbacks", "optimizer_states", "lr_schedulers", "loops",
    "hparams_name", "hyper_parameters", "hparams_type",
)  # fmt: skip
"""What PyTorch Lightning writes of a training."""
_REPLACED = ("conv_in.", "mid_block.")
"""Parts of the decoder that the network's own features and middle block take the place of."""


def load_weights(network: Path, decoder: Path) -> AdcSRNetwork:
    """Load the network, as wide as its files say.

    Args:
        network: ``net_params_200.pkl``: ``module.body.1.`` and the names of diffusers' UNet, its blocks a second time
            as ``module.body.1.body.N.``, and ``module.body.2.``, the decoder's middle block.
        decoder: ``halfDecoder.ckpt``: under ``state_dict`` the names of diffusers' decoder after ``decoder.``; conv_in
            and the middle block of it are not used, nor is what it was trained with.

    Raises:
        UserError: If a file is missing, damaged, holds code or an entry that has no place, or lacks one.
    """
    state = _network(network) | _decoder(decoder)
    built = build_network(_sizes(network, decoder, state))
    expected = built.state_dict()
    for name in sorted(expected.keys() ^ state.keys()):
        path, fix = (decoder, _DECODER_FIX) if name.startswith("decoder.up_") else (network, _NETWORK_FIX)
        what = "lacks" if name in expected else "has no use for"
        raise UserError(f"{path} {what} '{name}'", fix)
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise UserError(
                f"{network} and {decoder} do not fit: '{name}' is {tuple(state[name].shape)}, not "
                f"{tuple(tensor.shape)}",
                _NETWORK_FIX,
            )
    built.load_state_dict(state, assign=True)
    return built.requires_grad_(False)


def _network(path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    aliases: dict[str, Tensor] = {}
    for key, value in _tensors(path, load_pickle(path, _NETWORK_FIX), _NETWORK_FIX).items():
        name = key.removeprefix("module.")
        if name.startswith(_MIDDLE):
            state[f"decoder.mid_block.{name.removeprefix(_MIDDLE)}"] = value
            continue
        if not name.startswith(_UNET):
            raise UserError(f"{path} has an unknown entry '{key}'", _NETWORK_FIX)
        name = name.removeprefix(_UNET)
        alias = next((own for own in _ALIASES if name.startswith(own)), None)
        if alias is None:
            state[f"unet.{name}"] = value
        else:
            aliases[f"unet.{_ALIASES[alias]}{name.removeprefix(alias)}"] = value
    for name, value in aliases.items():
        if name not in state or not torch.equal(state[name], value):
            raise UserError(f"{path} has two different tensors for '{name.removeprefix('unet.')}'", _NETWORK_FIX)
    return state


def _decoder(path: Path) -> dict[str, Tensor]:
    content = load_pickle(path, _DECODER_FIX)
    if not isinstance(content.get("state_dict"), dict):
        raise UserError(f"{path} has no 'state_dict'", _DECODER_FIX)
    for key in content:
        if key != "state_dict" and key not in _RECORD:
            raise UserError(f"{path} has an unknown entry {key!r}", _DECODER_FIX)
    state: dict[str, Tensor] = {}
    for key, value in _tensors(path, without_wrappers(content["state_dict"]), _DECODER_FIX).items():
        name = key.removeprefix("decoder.")
        if name == key:
            if not key.startswith(_OTHERS):
                raise UserError(f"{path} has an unknown entry '{key}'", _DECODER_FIX)
        elif not name.startswith(_REPLACED):
            state[key] = value
    return state


def _tensors(path: Path, state: Mapping[Any, Any], fix: str) -> dict[str, Tensor]:
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise UserError(f"{path} has an entry {name!r} that is not a tensor", fix)
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _sizes(network: Path, decoder: Path, state: Mapping[str, Tensor]) -> Sizes:
    unet = _widths(network, state, "unet.down_blocks", HEAD, _NETWORK_FIX)
    return Sizes(unet, _widths(decoder, state, "decoder.up_blocks", DECODER_GROUPS, _DECODER_FIX)[::-1])


def _widths(path: Path, state: Mapping[str, Tensor], blocks: str, multiple: int, fix: str) -> tuple[int, ...]:
    """The output channels of each of four blocks."""
    first = [state.get(f"{blocks}.{n}.resnets.0.conv1.weight") for n in range(4)]
    absent = next((n for n, tensor in enumerate(first) if tensor is None), None)
    if absent is not None:
        raise UserError(f"{path} lacks '{re.sub('^unet.', '', blocks)}.{absent}.resnets.0.conv1.weight'", fix)
    widths = tuple(tensor.shape[0] if tensor.ndim else 0 for tensor in first if tensor is not None)
    if any(width < 1 or width % multiple for width in widths):
        found = ", ".join(map(str, widths))
        raise UserError(f"{path} has blocks of {found} channels, not multiples of {multiple}", fix)
    return widths
