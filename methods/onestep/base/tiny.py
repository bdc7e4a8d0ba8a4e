"""The tiny Stable-Diffusion-shaped world: architecture, scheduler and prompts of the base that ships.

Everything is a plain diffusers model, so it is treated as Stable Diffusion 2.1 is: the files
under ``weights/tiny`` are what ``save_pretrained`` writes, plus one file of prompt embeddings.
"""

from __future__ import annotations

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from isrbench.harness.api.tensor_files import check_weights
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.text import TextEncoder

ONE_STEP_TIMESTEP = 99
"""The timestep of the single step. SD 2.1 uses 999, where sqrt(1 - abar) / sqrt(abar) = 14.6 multiplies every error of
the predicted noise; a UNet of 5 M parameters cannot predict so exactly. At 99 the factor is 0.34, and noise of that
strength is about as far from the image as a degraded image is. (249, a factor of 0.69, was tried: after 600 steps the
UNet still could not reproduce a clean latent well enough, and lost 0.6 dB on undegraded images.)"""

VAE_CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (24, 48, 64),
    "layers_per_block": 1,
    "latent_channels": 16,
    "norm_num_groups": 8,
    "mid_block_add_attention": False,
    "sample_size": 64,
}
"""f = 4 and sixteen channels, so that the autoencoder does not cap the quality; 0.8 M parameters."""

UNET_CONFIG: dict[str, Any] = {
    "sample_size": 24,
    "in_channels": 16,
    "out_channels": 16,
    "down_block_types": ("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    "block_out_channels": (64, 96, 128),
    "layers_per_block": (3, 1, 1),
    "cross_attention_dim": 64,
    "attention_head_dim": 4,
    "norm_num_groups": 16,
    "use_linear_projection": True,
}
"""5.4 M parameters. Attention stays on the coarsest grid: at 512 px it sees 32 x 32 tokens, not 128 x 128. Nearly half
of the layers lie on the finest grid, the LR's own, where a layer costs the fewest parameters."""

SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
    "clip_sample": False,
}
"""Stable Diffusion's own noise schedule."""

PROMPT_TOKENS = 4
_LAST_BLOCK = "up_blocks.2.resnets."


def new_vae(latent_channels: int = VAE_CONFIG["latent_channels"]) -> AutoencoderKL:
    """Build the autoencoder with random weights."""
    return AutoencoderKL(**{**VAE_CONFIG, "latent_channels": latent_channels})


@torch.no_grad()
def widen_vae(narrow: AutoencoderKL) -> AutoencoderKL:
    """Return a trained autoencoder the full number of latent channels; it decodes exactly as before.

    A code of few channels is learnt faster. The decoder's weights for the added ones start at zero.

    Args:
        narrow: An autoencoder of this architecture with fewer latent channels.

    Returns:
        A new autoencoder of ``VAE_CONFIG``.
    """
    wide = new_vae()
    few, many = narrow.config["latent_channels"], wide.config["latent_channels"]
    moments = torch.cat([torch.arange(few), torch.arange(many, many + few)])
    before, state = narrow.state_dict(), wide.state_dict()
    for name, tensor in state.items():
        old = before[name]
        if name in ("decoder.conv_in.weight", "post_quant_conv.weight"):
            tensor.zero_()
        if tensor.shape == old.shape:
            tensor.copy_(old)
        elif name == "quant_conv.weight":
            tensor[moments] = 0
            tensor[moments[:, None], moments[None]] = old
        elif name in ("encoder.conv_out.weight", "encoder.conv_out.bias", "quant_conv.bias"):
            tensor[moments] = old
        elif name == "post_quant_conv.weight":
            tensor[torch.arange(few, many), torch.arange(few, many)] = 1
            tensor[:few, :few] = old
        elif name == "post_quant_conv.bias":
            tensor[:few] = old
        elif name == "decoder.conv_in.weight":
            tensor[:, :few] = old
        else:
            raise ValueError(f"'{name}' does not depend on the latent channels alone")
    wide.load_state_dict(state)
    return wide


def new_unet() -> UNet2DConditionModel:
    """Build the UNet with random weights."""
    return UNet2DConditionModel(**UNET_CONFIG)


@torch.no_grad()
def deepen_unet(shallow: dict[str, Tensor]) -> UNet2DConditionModel:
    """Return a trained UNet the full number of layers on the finest grid; it predicts exactly as before.

    Args:
        shallow: The weights of a UNet of this architecture with one layer a block.

    Returns:
        A new UNet of ``UNET_CONFIG``; the added layers pass on what they are given, until they are trained.

    Raises:
        RuntimeError: If the weights are of another architecture.
    """
    deep: Any = new_unet()
    down, up = deep.down_blocks[0].resnets, deep.up_blocks[-1].resnets
    for layer in [*down[1:], *up[1:-1]]:
        layer.conv2.weight.zero_()
        layer.conv2.bias.zero_()
    for layer in up[1:-1]:  # of what comes from below and the skip, the former
        torch.nn.init.dirac_(layer.conv_shortcut.weight)
        layer.conv_shortcut.bias.zero_()
    added = [f"down_blocks.0.resnets.{n}." for n in range(1, len(down))]
    added += [f"{_LAST_BLOCK}{n}." for n in range(1, len(up) - 1)]
    state = {name: value for name, value in deep.state_dict().items() if name.startswith(tuple(added))}
    last = f"{_LAST_BLOCK}{len(up) - 1}."
    deep.load_state_dict(state | {name.replace(f"{_LAST_BLOCK}1.", last): value for name, value in shallow.items()})
    return deep


def load_unet(path: Path) -> UNet2DConditionModel:
    """Load a UNet of the tiny base, made as deep as ``UNET_CONFIG`` where it has one layer a block.

    Args:
        path: A file that :func:`isrbench.methods.onestep.pretrain.loop.fit` wrote, or a diffusers folder.

    Raises:
        UserError: If it holds no such UNet.
    """
    try:
        if path.is_file():
            check_weights(path)
        if path.is_dir():
            weights = load_file(path / "diffusion_pytorch_model.safetensors")
        else:
            weights = torch.load(path, weights_only=True)["model"]
        if not any(name.startswith(f"{_LAST_BLOCK}2.") for name in weights):
            return deepen_unet(weights)
        unet = new_unet()
        unet.load_state_dict(weights)
        return unet
    except (OSError, EOFError, LookupError, TypeError, RuntimeError, UnpicklingError, SafetensorError) as error:
        raise UserError(
            f"{path} does not hold a UNet of the tiny base ({type(error).__name__})",
            "name the unet.state of a stage, or the folder unet of a base",
        ) from error


def scheduler() -> DDPMScheduler:
    """Build the scheduler."""
    return DDPMScheduler(**SCHEDULER_CONFIG)


def new_prompts() -> dict[str, Tensor]:
    """Draw the two prompt embeddings of the tiny world; every stage draws the same, and none trains them.

    Returns:
        ``positive`` (photos as they are) and ``negative`` (degraded ones), each float32 (1, 4, 64).
    """
    generator = torch.Generator().manual_seed(0)
    shape = (1, PROMPT_TOKENS, UNET_CONFIG["cross_attention_dim"])
    return {name: torch.randn(shape, generator=generator) for name in ("positive", "negative")}


def tiny_base(vae: Any, unet: Any) -> DiffusionBase:
    """Put an autoencoder and a UNet together as the tiny base that they are going to be.

    Args:
        vae: An autoencoder of ``VAE_CONFIG``.
        unet: A UNet of ``UNET_CONFIG``.
    """
    return DiffusionBase(vae, unet, scheduler().alphas_cumprod, "epsilon", TextEncoder(new_prompts()))


def save_base(folder: Path, vae: AutoencoderKL, unet: UNet2DConditionModel, prompts: dict[str, Tensor]) -> None:
    """Write the base as diffusers folders with fp16 safetensors: ``vae``, ``unet``, ``scheduler``, ``prompts``.

    Args:
        folder: The base's folder, made where it is missing.
        vae: The trained autoencoder.
        unet: The trained UNet.
        prompts: :func:`new_prompts`.
    """
    vae.half().save_pretrained(folder / "vae")
    unet.half().save_pretrained(folder / "unet")
    scheduler().save_pretrained(folder / "scheduler")
    for part in ("vae", "unet"):  # diffusers records where a model was loaded from
        path = folder / part / "config.json"
        config = {name: value for name, value in json.loads(path.read_text()).items() if name != "_name_or_path"}
        path.write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: tensor.half() for name, tensor in prompts.items()}, folder / "prompts.safetensors")
