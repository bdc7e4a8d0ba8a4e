"""Pretrain the tiny base: first its autoencoder, then its UNet as a plain latent diffusion model.

python -m methods.onestep.pretrain vae  --data BSDS500/train BSDS500/val --out runs/tiny --steps 4000 --seed 0
python -m methods.onestep.pretrain unet --data BSDS500/train BSDS500/val --out runs/tiny --steps 5000 --seed 0
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from methods.onestep.base_tiny import (
    ONE_STEP_TIMESTEP,
    SCHEDULER_CONFIG,
    new_prompts,
    new_unet,
    new_vae,
    save_base,
    widen_vae,
)
from methods.onestep.crops import find_images, random_crop, read_image, stream, to_tensor
from methods.onestep.losses import add_noise, clean_from_noise
from methods.onestep.pairs import make_lr, upsample
from methods.onestep.stage import Losses, Stage, fit

log = logging.getLogger(__name__)


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
    vae: Any = new_vae(channels) if channels else widen_vae(AutoencoderKL.from_pretrained(narrow))
    vae = vae.to(memory_format=torch.channels_last)
    images = [read_image(path) for path in find_images(stage.data)]

    def losses(step: int) -> Losses:
        rng = stream(stage.seed, step)
        crops = [random_crop(images[rng.integers(len(images))], size, rng) for _ in range(stage.batch)]
        x = to_tensor(crops).mul(2).sub(1).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x).latent_dist
        noise = torch.from_numpy(rng.standard_normal(posterior.mean.shape, dtype="float32"))
        y = vae.decode(posterior.mean + posterior.std * noise).sample.float()
        l1, edge = F.l1_loss(y, x), F.l1_loss(_differences(y), _differences(x))
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        return {"loss": l1 + edges * edge + kl * divergence, "l1": l1, "edges": edge, "kl": divergence}

    name = "vae-narrow" if channels else "vae"
    fit(stage, name, vae, losses)
    vae.register_to_config(scaling_factor=1 / _latent_std(vae, images))
    vae.save_pretrained(stage.out / name)


def _differences(x: Tensor) -> Tensor:
    return torch.cat([(x[..., 1:, :-1] - x[..., :-1, :-1]), (x[..., :-1, 1:] - x[..., :-1, :-1])], dim=1)


@torch.no_grad()
def _latent_std(vae: Any, images: list[np.ndarray]) -> float:
    rng = stream(0)
    crops = to_tensor([random_crop(image, 128, rng) for image in images[::6]]).mul(2).sub(1)
    return float(torch.cat([vae.encode(part).latent_dist.mean for part in crops.split(10)]).std())


@dataclass(frozen=True)
class Pairs:
    """Training pairs that were degraded and encoded once; N pairs of ``size`` px."""

    pixels: Tensor
    """uint8 (N, 3, size, size): the HR crops."""
    hr: Tensor
    """float32 (N, 16, size / 4, size / 4): their scaled latents."""
    lr: Tensor
    """float32, as ``hr``: the scaled latents of the degraded, enlarged crops."""


@torch.no_grad()
def encode_pairs(stage: Stage, vae: Any, names: Sequence[str], draws: int = 10, size: int = 160) -> Pairs:
    """Cut ``draws`` random crops of every photograph, degrade each once, and encode both.

    Args:
        stage: Data and seed.
        vae: The frozen autoencoder.
        names: Degradations to draw from.
        draws: Crops per photograph.
        size: Side of a crop in pixels.
    """
    images = [read_image(path) for path in find_images(stage.data)]
    pixels, latents = [], []
    for n in range(draws * len(images)):
        rng = stream(stage.seed, 1, n)
        crop = random_crop(images[n % len(images)], size, rng)
        hr = to_tensor([crop])
        pair = torch.cat([hr, upsample(make_lr(hr[0], names, rng)[None])])
        z = vae.encode((pair * 2 - 1).contiguous(memory_format=torch.channels_last)).latent_dist.mean
        pixels.append(torch.from_numpy(crop).permute(2, 0, 1))
        latents.append(z * vae.config["scaling_factor"])
        if n % 500 == 0:
            log.info("latents %d/%d", n, draws * len(images))
    hr, lr = torch.stack(latents, dim=1)
    return Pairs(torch.stack(pixels), hr, lr)


def train_unet(stage: Stage, names: Sequence[str], window: int, edges: float, start: Path | None) -> None:
    """Train the UNet on encoded pairs: a plain diffusion model, and one step of restoration.

    A quarter of a batch learns diffusion: noised HR latents under the positive prompt and, one in four, noised LR
    latents under the negative one (so that classifier-free guidance has a direction); the loss is the mean squared
    error of the noise. The others are LR latents at the one-step timestep under the positive prompt; the loss is the L1
    distance to the HR of the decoded pixels and of their finite differences, and a little of that of the latents.
    Latents alone would not do: their channels differ by a factor of 20 in what they change in the picture.

    Args:
        stage: Data, steps, rates and places.
        names: Degradations to draw from.
        window: Side in latents of what the UNet sees; the middle, 4 latents from each border, is decoded.
        edges: Weight of the finite differences.
        start: The state of an earlier stage whose weights this one begins with.
    """
    torch.manual_seed(stage.seed)
    vae: Any = AutoencoderKL.from_pretrained(stage.out / "vae")
    vae.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    prompts = new_prompts(stage.seed)
    unet = cast(Any, new_unet()).to(memory_format=torch.channels_last)
    if start is not None:
        unet.load_state_dict(torch.load(start, weights_only=True)["model"])
    cache = stage.out / f"pairs-{stage.seed}.pt"  # encoding takes minutes; an interrupted run reads it again
    if not cache.exists():
        torch.save(vars(encode_pairs(stage, vae, names)), cache)
    pairs = Pairs(**torch.load(cache, weights_only=True))
    scheduler: Any = DDPMScheduler(**SCHEDULER_CONFIG)
    abar = scheduler.alphas_cumprod
    diffused, seen = stage.batch // 4, window - 8

    def losses(step: int) -> Losses:
        rng = stream(stage.seed, 2, step)
        pixels, target, z = _windows(pairs, stage.batch, window, rng)
        t = torch.from_numpy(rng.integers(0, 1000, stage.batch))
        t[diffused:] = ONE_STEP_TIMESTEP
        noise = torch.from_numpy(rng.standard_normal(z[:diffused].shape, dtype="float32"))
        dirty = torch.from_numpy(rng.random(stage.batch) < 0.25)
        dirty[diffused:] = False
        prompt = torch.where(dirty[:, None, None], prompts["negative"], prompts["positive"])
        clean = torch.where(dirty[:diffused, None, None, None], z[:diffused], target[:diffused])
        inputs = torch.cat([add_noise(clean, noise, abar[t[:diffused]]), z[diffused:]])
        eps = unet(inputs, t, prompt).sample.float()
        x0 = clean_from_noise(z[diffused:], eps[diffused:], abar[t[diffused:]])
        y = vae.decode(_middle(x0, seen) / vae.config["scaling_factor"]).sample
        # The outer 8 px feel that the latents were cut there.
        y, x = _middle(y, 4 * seen - 16), _middle(pixels[diffused:].float() / 127.5 - 1, 4 * seen - 16)
        parts = {
            "diffusion": F.mse_loss(eps[:diffused], noise),
            "restoration": F.l1_loss(y, x),
            "edges": F.l1_loss(_differences(y), _differences(x)),
            "latents": F.l1_loss(x0, target[diffused:]),
        }
        loss = parts["diffusion"] + 10 * (parts["restoration"] + edges * parts["edges"]) + parts["latents"]
        return {"loss": loss, **parts}

    fit(stage, "unet", unet, losses)
    save_base(stage.out / "base", vae, unet, prompts)


def _windows(pairs: Pairs, batch: int, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Cut random windows: HR pixels, HR latents, LR latents."""
    room = pairs.hr.shape[-1] - size + 1
    picks = [(rng.integers(len(pairs.hr)), *rng.integers(room, size=2)) for _ in range(batch)]
    cut = [
        torch.stack([part[n, :, f * y : f * (y + size), f * x : f * (x + size)] for n, y, x in picks])
        for part, f in ((pairs.pixels, 4), (pairs.hr, 1), (pairs.lr, 1))
    ]
    return cut[0], cut[1], cut[2]


def _middle(x: Tensor, size: int) -> Tensor:
    """Cut the middle ``size`` x ``size`` of (B, C, H, W)."""
    top, left = (x.shape[-2] - size) // 2, (x.shape[-1] - size) // 2
    return x[..., top : top + size, left : left + size]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["vae", "unet"])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channels", type=int, help="vae: latent channels of a fresh one; unset widens the last")
    parser.add_argument("--kl", type=float, default=1e-6)
    parser.add_argument("--edges", type=float, default=0.0, help="weight of the finite differences")
    parser.add_argument("--degradations", default="realesrgan,stablesr,levels", help="unet: what to draw from")
    parser.add_argument("--window", type=int, default=32, help="unet: side in latents of what it sees")
    parser.add_argument("--start", type=Path, help="unet: a state whose weights to begin with")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    stage = Stage(args.data, args.out, args.steps, args.seed, args.lr, args.batch, args.bf16)
    if args.stage == "vae":
        train_vae(stage, args.channels, args.kl, args.edges)
    else:
        train_unet(stage, args.degradations.split(","), args.window, args.edges, args.start)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
