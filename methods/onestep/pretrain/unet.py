"""Pretraining of the tiny base's UNet: a plain latent diffusion model that has seen restoration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.hub import AS_DATA
from isrbench.methods.onestep.base.tiny import ONE_STEP_TIMESTEP, load_unet, new_prompts, new_unet, save_base, tiny_base
from isrbench.methods.onestep.pretrain.data import SIDE, cached_pairs, cut_windows, middle
from isrbench.methods.onestep.pretrain.loop import Losses, Stage, fit
from isrbench.methods.onestep.pretrain.vae import differences
from isrbench.methods.onestep.train.draws import stream

BORDER = 4
"""Latents at each border of a cut window that are not decoded: there the UNet sees that it was cut."""
COLOUR_PATCH = 16
"""Side in pixels of the patches whose mean colour is compared on its own: next to an L1 distance that is mostly missing
detail, a shift of the colours by a grey level hardly shows in the gradient."""
PSNR_WEIGHT = 0.3
"""Of a decibel. At 22 dB its gradient is about twice that of ten times the L1 distance, and more for better crops."""
SMALLEST = 2 * BORDER + (16 + COLOUR_PATCH) // 4
"""Side in latents of the smallest window, of which one such patch is decoded."""


def train_unet(
    stage: Stage, names: Sequence[str], window: int, edges: float, start: Path | None, restoration: float = 0.75
) -> None:
    """Train the UNet on encoded pairs: a plain diffusion model, and one step of restoration.

    A part of a batch learns diffusion, see :func:`mix`; the loss is the mean squared error of the noise. The others
    are LR latents at the one-step timestep under the positive prompt; the loss is minus the PSNR of the decoded pixels,
    the L1 distance to the HR of their finite differences and of their patches' mean colours, and a little of that of
    the latents. Latents alone would not do: their channels differ by a factor of 20 in what they change in the image.

    Args:
        stage: Data, steps, rates and places.
        names: Degradations to draw from.
        window: Side in latents of what the UNet sees, see :func:`decode_window`.
        edges: Weight of the finite differences.
        start: What :func:`isrbench.methods.onestep.base.tiny.load_unet` loads, for this stage to begin with.
        restoration: Share of a batch that learns restoration, in [0, 1); 0 makes a plain diffusion model.
    """
    torch.manual_seed(stage.seed)
    vae: Any = AutoencoderKL.from_pretrained(stage.out / "vae", **AS_DATA)
    vae.eval().requires_grad_(False)
    prompts = new_prompts()
    unet: Any = load_unet(start) if start else new_unet()
    base = tiny_base(vae, unet).to(torch.device(stage.device))
    pairs = cached_pairs(stage, base, names)
    if stage.compiled:
        unet.compile()
        vae.decoder.compile()
    diffused = count_diffused(stage.batch, restoration)

    def losses(step: int) -> Losses:
        rng = stream(stage.seed, 2, step)
        pixels, target, z = cut_windows(pairs, stage.batch, window, rng)
        batch = mix(base, target, z, diffused, rng)
        eps = base.predict(batch.z, batch.t, batch.prompt_embedding)
        diffusion = F.mse_loss(eps[:diffused], batch.noise)
        if diffused == stage.batch:
            return {"loss": diffusion}
        x0 = base.x0(z[diffused:], eps[diffused:], ONE_STEP_TIMESTEP)
        parts = {"diffusion": diffusion, **restoration_losses(base, x0, target[diffused:], pixels[diffused:])}
        pixels_loss = 10 * (edges * parts["edges"] + parts["colour"]) - PSNR_WEIGHT * parts["psnr"]
        loss = parts["diffusion"] + pixels_loss + parts["latents"]
        return {"loss": loss, **parts}

    fit(stage, "unet", unet, losses)
    save_base(stage.out / "base", vae, unet, prompts)


def restoration_losses(base: DiffusionBase, x0: Tensor, target: Tensor, pixels: Tensor) -> Losses:
    """Return what tells restored latents from the HR's, each as a scalar without its weight.

    Args:
        base: Decodes.
        x0: Restored latents, scaled (B, 16, h, w).
        target: The HR's; the same shape.
        pixels: The HR, uint8 (B, 3, 4 h, 4 w).
    """
    y = decode_window(base, x0)
    x = middle(pixels.float() / 127.5 - 1, y.shape[-1])
    return {
        "psnr": mean_psnr(y, x),
        "edges": F.l1_loss(differences(y), differences(x)),
        "colour": F.l1_loss(F.avg_pool2d(y, COLOUR_PATCH), F.avg_pool2d(x, COLOUR_PATCH)),
        "latents": F.l1_loss(x0, target),
    }


def count_diffused(batch: int, restoration: float) -> int:
    """Return how many of a batch learn diffusion where a share ``restoration`` learns to restore."""
    return batch - math.ceil(batch * restoration)


@dataclass(frozen=True)
class Mixed:
    """What the UNet sees in one step: noised latents first, LR latents after them."""

    z: Tensor
    """(B, 16, h, w)."""
    t: Tensor
    """(B,) timesteps."""
    prompt_embedding: Tensor
    """(B, 4, 64)."""
    noise: Tensor
    """The noise in the first latents, (diffused, 16, h, w)."""


def mix(base: DiffusionBase, hr: Tensor, lr: Tensor, diffused: int, rng: np.random.Generator) -> Mixed:
    """Noise the first ``diffused`` latents at any timestep, and leave the others' LR as they are.

    The noised ones are HR latents under the positive prompt or, one in four, LR latents under the negative one, so that
    classifier-free guidance has a direction.

    Args:
        base: Knows the noise schedule and the prompts.
        hr: Scaled latents (B, 16, h, w).
        lr: The degraded ones; the same shape.
        diffused: How many are noised.
        rng: Where every draw comes from.
    """
    count, device = len(lr), lr.device
    t = torch.from_numpy(rng.integers(0, len(base.abar), count)).to(device)
    t[diffused:] = ONE_STEP_TIMESTEP
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(lr[:diffused].shape, generator=generator, device=device)
    dirty = torch.from_numpy(rng.random(count) < 0.25).to(device)
    dirty[diffused:] = False
    positive, negative = (embedding.to(device) for embedding in base.text.pair("", ""))
    clean = torch.where(dirty[:diffused, None, None, None], lr[:diffused], hr[:diffused])
    z = torch.cat([base.add_noise(clean, noise, t[:diffused]), lr[diffused:]])
    return Mixed(z, t, torch.where(dirty[:, None, None], negative, positive), noise)


def mean_psnr(y: Tensor, x: Tensor) -> Tensor:
    """Return the mean over images (B, C, H, W) in [-1, 1] of their PSNR in decibels, all channels together.

    As a loss (NAFNet; Chen et al., 2022) it weighs every crop by what is still wrong with it. The squared error alone
    would leave all to the worst crops, and the L1 distance leads to the median of what might have been.
    """
    return -10 * torch.log10((y - x).square().mean(dim=(1, 2, 3)) / 4 + 1e-8).mean()


def decode_window(base: DiffusionBase, z: Tensor) -> Tensor:
    """Decode what of scaled latents (B, 16, h, h) a loss should see.

    A window of ``SIDE`` is a whole encoded crop, whose border is an image's border: all of it. A smaller one was cut
    from a crop: its middle, without the outer ``BORDER`` latents and then without the outer 8 px, which feel the cut
    too.

    Returns:
        float32 (B, 3, n, n), about [-1, 1], the middle of the window's image; n = 4 h or 4 h - 8 ``BORDER`` - 16.
    """
    whole = z.shape[-1] == SIDE
    inner = z if whole else middle(z, z.shape[-1] - 2 * BORDER)
    image = base.decode(inner)
    return image if whole else middle(image, image.shape[-1] - 16)
