"""Loading a frozen base: the one that ships, a folder, or one from the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn

from isrbench.harness.api.tensor_files import first_line
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.hub import AS_DATA, check_files, find_base
from isrbench.methods.onestep.base.text import TextEncoder, load_text
from isrbench.methods.onestep.checkpoint import base_hash
from isrbench.methods.onestep.options import SHIPPED

CONFIGS = Path(__file__).parent / "configs"
TINY = Path(__file__).parent.parent / "weights" / "tiny"
TINY_GEN = Path(__file__).parent.parent / "weights" / "tiny-gen"
"""A UNet for the tiny base's VAE and prompts that has learnt diffusion alone, no restoration."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NEEDED = ("vae/config.json", "unet/config.json", "scheduler/scheduler_config.json")
_SCHEDULE = (
    "beta_schedule", "beta_start", "beta_end", "num_train_timesteps", "trained_betas", "rescale_betas_zero_snr",
    "prediction_type",
)  # fmt: skip


def load_base(name: str, device: str = "cpu", dtype: str = "fp32") -> DiffusionBase:
    """Load and freeze a base.

    Args:
        name: ``tiny`` or ``tiny-gen`` (shipped), ``sd21``, a hub id, or a folder in diffusers format.
        device: Torch device string.
        dtype: ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        UserError: If it cannot be found or fetched, is incomplete, or is not a Stable-Diffusion-like model.
    """
    folder = TINY if name in SHIPPED else find_base(name)
    unet_folder = (TINY_GEN if name == "tiny-gen" else folder) / "unet"
    missing = [part for part in _NEEDED if not (folder / part).is_file()]
    if missing:
        raise UserError(f"base '{name}': {folder} has no {missing[0]}", "pass a folder in diffusers format")
    check_files(folder, unet_folder)
    try:
        # float32 first: the hashes must not depend on the dtype that is asked for.
        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32, **AS_DATA)
        unet = UNet2DConditionModel.from_pretrained(unet_folder, torch_dtype=torch.float32, **AS_DATA)
        scheduler: Any = DDPMScheduler.from_pretrained(folder / "scheduler", **AS_DATA)
        text = load_text(folder, name, device)
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise UserError(
                f"base '{name}' brings code of its own, which is never run", "pass a base without it: sd21, for example"
            ) from error
        raise UserError(
            f"base '{name}' does not load: {type(error).__name__}: {first_line(error)}",
            "fetch it again, or pass another base",
        ) from error
    prediction, abar = scheduler.config.prediction_type, scheduler.alphas_cumprod.float()
    if prediction not in ("epsilon", "v_prediction"):
        raise UserError(f"base '{name}' predicts '{prediction}'", "pass a base that predicts epsilon or v_prediction")
    rough, exact = (
        base_hash(unet, vae, extra=f"{_schedule(scheduler)} {text.weights_hash(half=half)}", half=half)
        for half in (True, False)
    )
    for model in (vae, unet):
        # Past diffusers' own `to`, which warns of modules to keep in float32 even where there are none.
        nn.Module.to(model.requires_grad_(False).eval(), device, DTYPES[dtype])
    return DiffusionBase(vae, unet, abar.to(device), prediction, text, rough, exact)


def shipped(name: str) -> str:
    """Return ``tiny`` or ``tiny-gen`` where a base is one of those that ship, by name or by folder; else ""."""
    folder = Path(name).expanduser()
    if name in SHIPPED:
        return name
    return "tiny" if folder.is_dir() and folder.samefile(TINY) else ""


def build_models(vae_config: dict[str, Any], unet_config: dict[str, Any], device: str = "meta") -> tuple[Any, Any]:
    """Build a (vae, unet) pair without weights (``meta``) or with random ones, in evaluation mode."""
    with torch.device(device):
        vae: Any = AutoencoderKL.from_config(vae_config)
        unet: Any = UNet2DConditionModel.from_config(unet_config)
    return vae.eval().requires_grad_(False), unet.eval().requires_grad_(False)


def random_sd21(device: str = "cpu", seed: int = 0) -> DiffusionBase:
    """Build Stable Diffusion 2.1-base with random weights: for timing and memory, where no weights are needed."""
    vae_config, unet_config = sd21_configs()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae, unet = build_models(vae_config, unet_config, device)
        embeddings = {name: torch.randn(1, 77, unet_config["cross_attention_dim"]) for name in ("positive", "negative")}
    scheduler: Any = DDPMScheduler.from_config(json.loads((CONFIGS / "scheduler_sd21.json").read_text()))
    return DiffusionBase(vae, unet, scheduler.alphas_cumprod.float().to(device), "epsilon", TextEncoder(embeddings))


def sd21_configs() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the (vae, unet) configs of Stable Diffusion 2.1-base."""
    vae, unet = (json.loads((CONFIGS / f"{part}_sd21.json").read_text()) for part in ("vae", "unet"))
    return vae, unet


def _schedule(scheduler: Any) -> str:
    """What ``abar`` is computed from; its own last bits depend on the processor's vector unit."""
    return json.dumps({name: scheduler.config.get(name) for name in _SCHEDULE})
