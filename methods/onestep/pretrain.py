"""Pretrain the tiny base: first its autoencoder, then its UNet as a plain latent diffusion model.

python -m methods.onestep.pretrain vae  --data BSDS500/train BSDS500/val --out runs/tiny --steps 4000 --seed 0
python -m methods.onestep.pretrain unet --data BSDS500/train BSDS500/val --out runs/tiny --steps 6000 --seed 0
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor, nn

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
from methods.onestep.curves import write_curve
from methods.onestep.pairs import make_lr, upsample

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """How one stage runs."""

    data: list[Path]
    """Folders of training photographs."""
    out: Path
    """Where weights, curves and the state to resume from go."""
    steps: int
    seed: int
    lr: float
    """Peak learning rate; warms up over 100 steps, then falls as a cosine to zero."""
    batch: int
    bf16: bool
    """Autocast to bfloat16 (a quarter faster on CPUs with AVX512-BF16); weights stay float32."""


Losses = dict[str, Tensor]


def fit(stage: Stage, name: str, model: nn.Module, step_losses: Callable[[int], Losses]) -> None:
    """Run the stage's steps on ``model``; continues from ``out/name.state`` where there is one.

    Args:
        stage: Steps, rates and places.
        name: The stage's name, used in file names.
        model: What is trained, with Adam.
        step_losses: ``step_losses(step)`` gives the losses of one step; the entry ``loss`` is minimised.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.lr, weight_decay=0.0, betas=(0.9, 0.99))
    first = _resume(stage.out / f"{name}.state", model, optimizer)
    model.train()
    started, sums = time.monotonic(), {}
    for step in range(first, stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.lr * schedule(step, stage.steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=stage.bf16):
            losses = step_losses(step)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + float(value.detach())
        if (step + 1) % 50 == 0:
            means = {key: total / 50 for key, total in sums.items()} | {"seconds": time.monotonic() - started}
            write_curve(stage.out / f"{name}.csv", step + 1, means)
            log.info("%s %d/%d %s", name, step + 1, stage.steps, " ".join(f"{k} {v:.4f}" for k, v in means.items()))
            sums = {}
        if (step + 1) % 100 == 0 or step + 1 == stage.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, stage.out / f"{name}.tmp")
            (stage.out / f"{name}.tmp").replace(stage.out / f"{name}.state")
    model.eval()


def schedule(step: int, steps: int, warmup: int = 100) -> float:
    """Give the factor of the learning rate at ``step``: linear warm-up, then a cosine down to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


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


@torch.no_grad()
def cache_latents(stage: Stage, vae: Any, names: Sequence[str], draws: int, size: int = 160) -> list[Tensor]:
    """Encode ``draws`` random crops of every photograph and of its degraded, enlarged version.

    Args:
        stage: Data and seed.
        vae: The frozen autoencoder.
        names: Degradations to draw from.
        draws: Crops per photograph.
        size: Side of a crop in pixels.

    Returns:
        Scaled latents of the HR and of the LR crops, each float32 (photographs x draws, 16, size / 4, size / 4).
    """
    images = [read_image(path) for path in find_images(stage.data)]
    latents: list[list[Tensor]] = [[], []]
    for n in range(draws * len(images)):
        rng = stream(stage.seed, 1, n)
        hr = to_tensor([random_crop(images[n % len(images)], size, rng)])
        pair = torch.cat([hr, upsample(make_lr(hr[0], names, rng)[None])])
        pair = (pair * 2 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=stage.bf16):
            z = vae.encode(pair).latent_dist.mean.float() * vae.config["scaling_factor"]
        latents[0].append(z[0])
        latents[1].append(z[1])
        if n % 500 == 0:
            log.info("latents %d/%d", n, draws * len(images))
    return [torch.stack(part) for part in latents]


def train_unet(stage: Stage, names: Sequence[str], draws: int = 6, window: int = 24) -> None:
    """Train the UNet on cached latents: a plain diffusion model, and one step of restoration.

    Of a batch, 3/8 are noised HR latents under the positive prompt and 1/8 noised LR latents under the negative one
    (so that classifier-free guidance has a direction); the loss is the mean squared error of the noise. The other half
    are LR latents at the one-step timestep under the positive prompt; the loss is the L1 distance of x0 to the HR.
    """
    torch.manual_seed(stage.seed)
    vae: Any = AutoencoderKL.from_pretrained(stage.out / "vae")
    vae = vae.eval().to(memory_format=torch.channels_last)
    prompts = new_prompts(stage.seed)
    unet: Any = new_unet()
    cache = stage.out / f"latents-{stage.seed}-{draws}.pt"  # encoding takes minutes; an interrupted run reads it again
    if not cache.exists():
        torch.save(cache_latents(stage, vae, names, draws), cache)
    hr, lr = torch.load(cache, weights_only=True)
    scheduler: Any = DDPMScheduler(**SCHEDULER_CONFIG)
    abar = scheduler.alphas_cumprod
    eighth = stage.batch // 8
    dirty, diffused = eighth, 4 * eighth
    prompt = torch.cat([prompts["negative"]] * dirty + [prompts["positive"]] * (stage.batch - dirty))
    root = [float(v) for v in (abar[ONE_STEP_TIMESTEP].sqrt(), (1 - abar[ONE_STEP_TIMESTEP]).sqrt())]

    def losses(step: int) -> Losses:
        rng = stream(stage.seed, 2, step)
        z, target = _windows(hr, lr, stage.batch, window, rng)
        t = torch.from_numpy(rng.integers(0, 1000, stage.batch))
        t[diffused:] = ONE_STEP_TIMESTEP
        noise = torch.from_numpy(rng.standard_normal(z.shape, dtype="float32"))
        a = abar[t].view(-1, 1, 1, 1)
        clean = torch.cat([z[:dirty], target[dirty:diffused]])
        noisy = a[:diffused].sqrt() * clean + (1 - a[:diffused]).sqrt() * noise[:diffused]
        eps = unet(torch.cat([noisy, z[diffused:]]), t, prompt).sample.float()
        diffusion = F.mse_loss(eps[:diffused], noise[:diffused])
        x0 = (z[diffused:] - root[1] * eps[diffused:]) / root[0]
        restoration = F.l1_loss(x0, target[diffused:])
        return {"loss": diffusion + restoration, "diffusion": diffusion, "restoration": restoration,
                "identity": F.l1_loss(z[diffused:], target[diffused:])}  # fmt: skip

    fit(stage, "unet", unet, losses)
    save_base(stage.out / "base", vae, unet, prompts)


def _windows(hr: Tensor, lr: Tensor, batch: int, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    picks = [(rng.integers(len(hr)), *rng.integers(hr.shape[-1] - size + 1, size=2)) for _ in range(batch)]
    cut = [[part[n, :, y : y + size, x : x + size] for n, y, x in picks] for part in (lr, hr)]
    return torch.stack(cut[0]), torch.stack(cut[1])


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
    parser.add_argument("--edges", type=float, default=0.0)
    parser.add_argument("--degradations", default="realesrgan,stablesr,levels", help="unet: what to draw from")
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
        train_unet(stage, args.degradations.split(","))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
