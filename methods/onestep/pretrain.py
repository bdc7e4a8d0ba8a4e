"""Pretrain the tiny base: its autoencoder, its UNet as a plain latent diffusion model, and the decoder's texture.

python -m methods.onestep.pretrain vae     --data BSDS500/train BSDS500/val --out runs/tiny --steps 4000 --seed 0
python -m methods.onestep.pretrain unet    --data BSDS500/train BSDS500/val --out runs/tiny --steps 5000 --seed 0
python -m methods.onestep.pretrain decoder --data BSDS500/train BSDS500/val --out runs/tiny --steps 2000 --seed 0
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from methods.onestep.pretrain_decoder import train_decoder
from methods.onestep.pretrain_unet import train_unet
from methods.onestep.pretrain_vae import train_vae
from methods.onestep.stage import Stage


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["vae", "unet", "decoder"])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channels", type=int, help="vae: latent channels of a fresh one; unset widens the last")
    parser.add_argument("--kl", type=float, default=1e-6)
    parser.add_argument("--edges", type=float, default=0.0, help="weight of the finite differences")
    parser.add_argument("--degradations", default="camera,stablesr,levels", help="unet, decoder: what to draw from")
    parser.add_argument("--adversarial", type=float, default=0.02, help="decoder: weight of the critic's verdict")
    parser.add_argument("--window", type=int, default=32, help="unet, decoder: side in latents of what the UNet sees")
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
    elif args.stage == "unet":
        train_unet(stage, args.degradations.split(","), args.window, args.edges, args.start)
    else:
        train_decoder(stage, args.degradations.split(","), args.window, args.edges, args.adversarial)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
