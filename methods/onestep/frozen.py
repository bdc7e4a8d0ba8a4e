"""The frozen base as the trainer sees it: one VAE, one UNet, the noise schedule and two prompt embeddings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import load_file
from torch import Tensor

from harness.errors import UserError
from methods.onestep.base_tiny import FOLDER
from methods.onestep.checkpoint import base_fingerprint


@dataclass(frozen=True)
class Frozen:
    """A base with gradients off."""

    vae: Any
    """A diffusers ``AutoencoderKL``."""
    unet: Any
    """A diffusers ``UNet2DConditionModel``."""
    abar: Tensor
    """float32 (1000,): cumulative alphas by timestep."""
    positive: Tensor
    """float32 (1, tokens, width): the prompt of the generator, the teacher and the regulariser."""
    negative: Tensor
    """float32 (1, tokens, width): what guidance leads away from."""
    fingerprint: str
    """See :func:`methods.onestep.checkpoint.base_fingerprint`."""

    def to(self, device: torch.device) -> Frozen:
        """Give the same base on ``device``."""
        vae, unet = self.vae.to(device), self.unet.to(device)
        tensors = {name: getattr(self, name).to(device) for name in ("abar", "positive", "negative")}
        return replace(self, vae=vae, unet=unet, **tensors)

    @property
    def factor(self) -> int:
        """Pixels per latent along one side."""
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)


def load_frozen(base: str, prompt: str, negative_prompt: str) -> Frozen:
    """Load a base in float32 on the CPU, and freeze it.

    Args:
        base: ``tiny``, a folder or a hub id in diffusers format.
        prompt: Encoded by the base's text encoder; ignored by a base that brings ``prompts.safetensors``.
        negative_prompt: Likewise.

    Raises:
        UserError: If the base is not there or is no Stable-Diffusion-like base.
    """
    place = str(FOLDER) if base == "tiny" else base
    try:
        vae = AutoencoderKL.from_pretrained(place, subfolder="vae", torch_dtype=torch.float32)
        unet = UNet2DConditionModel.from_pretrained(place, subfolder="unet", torch_dtype=torch.float32)
        scheduler: Any = DDPMScheduler.from_pretrained(place, subfolder="scheduler")
    except (OSError, ValueError) as error:
        raise UserError(
            f"the base '{base}' cannot be loaded: {error}", "pass base=tiny, a diffusers folder or a hub id"
        ) from error
    if scheduler.config["prediction_type"] != "epsilon":
        raise UserError(f"the base '{base}' does not predict noise", "pass a base with prediction_type epsilon")
    positive, negative = _prompts(place, (prompt, negative_prompt))
    for model in (vae, unet):
        model.requires_grad_(False).eval()
    fingerprint = base_fingerprint(unet, vae)
    return Frozen(vae, unet, scheduler.alphas_cumprod.float(), positive, negative, fingerprint)


@torch.no_grad()
def _prompts(place: str, texts: tuple[str, str]) -> tuple[Tensor, Tensor]:
    own = Path(place) / "prompts.safetensors"
    if own.is_file():
        state = load_file(own)
        return state["positive"].float(), state["negative"].float()
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(place, subfolder="tokenizer")
    encoder = CLIPTextModel.from_pretrained(place, subfolder="text_encoder")
    length = tokenizer.model_max_length
    tokens = tokenizer(list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    embedded = encoder(tokens.input_ids)[0].float()
    return embedded[:1], embedded[1:]
