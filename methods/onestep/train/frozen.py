"""The frozen base as the trainer sees it: one VAE, one UNet, the noise schedule and two prompt embeddings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.load import load_backbone
from isrbench.methods.onestep.train.config import TIMESTEPS


@dataclass(frozen=True)
class Frozen:
    """A base with gradients off, in float32."""

    vae: Any
    """A diffusers ``AutoencoderKL``."""
    unet: Any
    """A diffusers ``UNet2DConditionModel`` that predicts noise."""
    abar: Tensor
    """float32 (1000,): cumulative alphas by timestep."""
    positive: Tensor
    """float32 (1, tokens, width): the prompt of the generator, the teacher and the regulariser."""
    negative: Tensor
    """float32 (1, tokens, width): what guidance leads away from."""
    factor: int
    """Pixels per latent along one side."""
    fingerprint: str
    """See :func:`isrbench.methods.onestep.checkpoint.base_fingerprint`."""

    def to(self, device: torch.device) -> Frozen:
        """Return the same base on ``device``, channels last: a third faster to train on CPUs and on tensor cores."""
        vae, unet = (model.to(device, memory_format=torch.channels_last) for model in (self.vae, self.unet))
        tensors = {name: getattr(self, name).to(device) for name in ("abar", "positive", "negative")}
        return replace(self, vae=vae, unet=unet, **tensors)


def load_frozen(base: str, prompt: str, negative_prompt: str) -> Frozen:
    """Load a base in float32 on the CPU, frozen.

    Args:
        base: See :func:`isrbench.methods.onestep.base.load.load_backbone`.
        prompt: Encoded by the base's text encoder; a base with fixed prompt embeddings ignores it.
        negative_prompt: Likewise.

    Raises:
        UserError: If the base cannot be loaded, does not predict noise, shifts its latents, or has another number of
            timesteps.
    """
    backbone = load_backbone(base)
    if backbone.prediction != "epsilon":
        raise UserError(f"base '{base}' predicts {backbone.prediction}", "train on a base that predicts epsilon")
    if backbone.vae.config.shift_factor or len(backbone.abar) != TIMESTEPS:
        raise UserError(
            f"base '{base}' shifts its latents, or has not {TIMESTEPS} timesteps",
            "train on a base made as Stable Diffusion 1 and 2 are",
        )
    positive, negative = backbone.text.pair(prompt, negative_prompt)
    return Frozen(backbone.vae, backbone.unet, backbone.abar, positive, negative, backbone.factor, backbone.fingerprint)
