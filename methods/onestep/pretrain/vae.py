"""Pretraining of the tiny base's autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from isrbench.harness.imaging.photos import read_photos
from isrbench.methods.onestep.base.hub import AS_DATA
from isrbench.methods.onestep.base.tiny import new_vae, widen_vae
from isrbench.methods.onestep.pretrain.loop import Losses, Stage, fit
from isrbench.methods.onestep.train.data import find_images, random_crop, stack
from isrbench.methods.onestep.train.draws import stream


def train_vae(stage: Stage, channels: int | None, kl: float, edges: float, size: int = 64) -> None:
    """Train the autoencoder on ``size`` px crops: L1, L1 of the finite differences, and a light KL term.

    Args:
        stage: Steps, rates and places.
        channels: Latent channels of a fresh autoencoder; None widens the one in ``out/vae-narrow`` to the full number.
        kl: Weight of the mean KL divergence of a latent value.
        edges: Weight of the finite differences.
        size: Side of the crops in pixels.
    """
    torch.manual_seed(stage.seed)
    narrow = stage.out / "vae-narrow"
    vae: Any = new_vae(channels) if channels else widen_vae(AutoencoderKL.from_pretrained(narrow, **AS_DATA))
    vae = vae.to(stage.device, memory_format=torch.channels_last)
    images = list(read_photos(find_images(stage.data)))

    def losses(step: int) -> Losses:
        rng = stream(stage.seed, step)
        crops = [random_crop(images[rng.integers(len(images))], size, rng) for _ in range(stage.batch)]
        x = stack(crops).to(stage.device).mul(2).sub(1).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x).latent_dist
        noise = torch.from_numpy(rng.standard_normal(posterior.mean.shape, dtype="float32")).to(x.device)
        y = vae.decode(posterior.mean + posterior.std * noise).sample.float()
        l1, edge = F.l1_loss(y, x), F.l1_loss(differences(y), differences(x))
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        return {"loss": l1 + edges * edge + kl * divergence, "l1": l1, "edges": edge, "kl": divergence}

    name = "vae-narrow" if channels else "vae"
    fit(stage, name, vae, losses)
    vae.register_to_config(scaling_factor=1 / _latent_std(vae, images))
    vae.save_pretrained(stage.out / name)


def differences(x: Tensor) -> Tensor:
    """Return the finite differences, down and right, of images (B, C, H, W): (B, 2 C, H - 1, W - 1)."""
    return torch.cat([(x[..., 1:, :-1] - x[..., :-1, :-1]), (x[..., :-1, 1:] - x[..., :-1, :-1])], dim=1)


@torch.no_grad()
def _latent_std(vae: Any, images: list[np.ndarray]) -> float:
    rng = stream(0)
    crops = stack([random_crop(image, 128, rng) for image in images[::6]]).to(vae.device).mul(2).sub(1)
    return float(torch.cat([vae.encode(part).latent_dist.mean for part in crops.split(10)]).std())
