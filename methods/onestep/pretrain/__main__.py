"""Pretrain the tiny base: its autoencoder, its UNet as a plain latent diffusion model, and the decoder's texture.

isrbench tools pretrain vae     --data BSDS500/train BSDS500/val --out runs/tiny --steps 4500 --channels 8
isrbench tools pretrain vae     --data BSDS500/train BSDS500/val --out runs/tiny --steps 2600 --seed 1
isrbench tools pretrain unet    --data BSDS500/train BSDS500/val --out runs/tiny --steps 5000
isrbench tools pretrain decoder --data BSDS500/train BSDS500/val --out runs/tiny --steps 2000

Each stage builds on what the ones before it left in --out. Interrupted, the same command continues. docs/tiny.md has
the commands that the shipped base was made by.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from isrbench.harness.api.options import positive
from isrbench.harness.api.speed import check_compiler
from isrbench.harness.determinism import make_deterministic, resolve_device
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.pretrain.data import SIDE
from isrbench.methods.onestep.pretrain.decoder import train_decoder
from isrbench.methods.onestep.pretrain.loop import Stage
from isrbench.methods.onestep.pretrain.unet import SMALLEST, count_diffused, train_unet
from isrbench.methods.onestep.pretrain.vae import train_vae
from isrbench.methods.onestep.train.degrade import check_degradations

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage; returns the exit code."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    bf16, compiled = getattr(args, "bf16", False), getattr(args, "compile", False)
    try:
        _check(args)
        device = resolve_device(args.device)
        make_deterministic(device)
        stage = Stage(
            args.data, args.out, args.steps, args.seed, args.lr, args.batch, bf16, compiled, device,
            getattr(args, "workers", 0), args.save_every,
        )  # fmt: skip
        args.out.mkdir(parents=True, exist_ok=True)
        names = getattr(args, "degradations", "").split(",")
        if args.stage == "vae":
            train_vae(stage, args.channels, args.kl, args.edges)
        elif args.stage == "unet":
            train_unet(stage, names, args.window, args.edges, args.start, args.restoration)
        else:
            train_decoder(stage, names, args.window, args.edges, args.adversarial, args.texture)
    except UserError as error:
        log.error("%s", error)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, nargs="+", required=True)
    common.add_argument("--out", type=Path, required=True)
    common.add_argument("--steps", type=int, required=True)
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--lr", type=float, default=2e-3)
    common.add_argument("--batch", type=positive, default=8)
    common.add_argument("--edges", type=float, default=0.0, help="weight of the finite differences")
    common.add_argument("--threads", type=positive, default=2)
    common.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:1, ...")
    common.add_argument("--save-every", type=positive, default=100, help="steps between two states on disk")
    pairs = argparse.ArgumentParser(add_help=False)
    pairs.add_argument("--degradations", default="camera,stablesr,levels", help="what to draw from")
    pairs.add_argument("--window", type=int, default=32, help="side in latents of what the UNet sees; 40: whole crops")
    pairs.add_argument("--workers", type=int, default=0, help="processes that make the pairs")
    bf16 = argparse.ArgumentParser(add_help=False)
    bf16.add_argument("--bf16", action="store_true", help="autocast; the decoder's grain would drown in its rounding")
    whole = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=whole, allow_abbrev=False)
    stages = parser.add_subparsers(dest="stage", required=True)
    vae = stages.add_parser("vae", parents=[common, bf16])
    vae.add_argument("--channels", type=positive, help="latent channels of a fresh one; unset widens the last")
    vae.add_argument("--kl", type=float, default=1e-6, help="weight of the KL divergence")
    unet = stages.add_parser("unet", parents=[common, pairs, bf16])
    unet.add_argument("--start", type=Path, help="a state or diffusers folder whose weights to begin with")
    unet.add_argument(
        "--restoration", type=float, default=0.75, help="share of a batch that learns to restore; 0: plain diffusion"
    )
    unet.add_argument("--compile", action="store_true", help="compile the networks; wants a C++ compiler")
    decoder = stages.add_parser("decoder", parents=[common, pairs])
    decoder.add_argument("--adversarial", type=float, default=0.02, help="weight of the critic's verdict")
    decoder.add_argument("--texture", type=float, default=1.0, help="share of the trained decoder in what is saved")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Check what would otherwise fail after minutes, or not at all.

    Raises:
        UserError: If an option does not fit, or an earlier stage's result is missing.
    """
    needed: dict[Path, str] = {}
    if args.stage == "vae":
        if args.channels is None:
            needed[args.out / "vae-narrow"] = "run the stage `vae` with --channels first, or add it here"
    else:
        check_degradations(args.degradations.split(","))
        least, most = SMALLEST, SIDE
        if not least <= args.window <= most:
            raise UserError(f"--window {args.window}", f"choose {least} to {most} latents")
        if args.stage == "decoder" and args.batch < 4:
            raise UserError(f"--batch {args.batch}: half of it is restored", "give 4 or more")
        if args.stage == "unet" and not 0 <= args.restoration < 1:
            raise UserError(f"--restoration {args.restoration}", "choose a share of at least 0 and below 1")
        if args.stage == "unet" and count_diffused(args.batch, args.restoration) < 1:
            raise UserError(
                f"--batch {args.batch}: none of it is left to learn diffusion",
                "give 4 or more, or lower --restoration",
            )
        if args.stage == "unet" and args.start:
            needed[args.start] = "name the unet.state of an earlier stage, or a folder unet"
        if args.stage == "unet" and args.compile:
            check_compiler(resolve_device(args.device))
        needed[args.out / "vae"] = "run the stage `vae` first"
        if args.stage == "decoder":
            if not 0 <= args.texture <= 1:
                raise UserError(f"--texture {args.texture}", "choose a share between 0 and 1")
            needed[args.out / "unet.state"] = "run the stage `unet` first"
    for path, fix in needed.items():
        if not path.exists():
            raise UserError(f"{path} is missing", fix)


if __name__ == "__main__":
    raise SystemExit(main())
