"""What half precision does to the one step from timestep 999, and which parts in float32 would help.

isrbench tools half-precision --size sd21 --pixels 512
isrbench tools half-precision --size sd21 --pixels 512 --device cuda --out half.json

x0 = (z - sqrt(1 - abar) eps) / sqrt(abar): at Stable Diffusion's t = 999 an error of eps is multiplied by 14.61. The
networks have the architecture and random weights, so their eps is not that of a trained UNet, whose rms at t = 999 is
1. What carries over is the relative error r = rms(eps - eps_fp32) / rms(eps_fp32): rounding is relative, and how it
adds up is the architecture's. So the error of x0 is stated as 14.61 r, where a latent has a variance of about 1.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isrbench.harness.determinism import make_deterministic
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.load import DTYPES, build_models, random_sd21, sd21_configs
from isrbench.methods.onestep.base.tiny import tiny_base

log = logging.getLogger(__name__)

TIMESTEP = 999


@dataclass(frozen=True)
class Error:
    """What one way to compute costs in exactness."""

    part: str
    """``unet``, or ``encoder`` for the latents that it starts from."""
    dtype: str
    how: str
    """``autocast`` as in training, ``cast`` as in restoring, ``products`` (only what is multiplied is rounded)."""
    islands: str
    """What stays in float32 under autocast."""
    relative: float
    """rms of the error in terms of the float32 result's rms."""
    x0: float
    """rms of x0's error. Of the encoder: the relative error itself, because x0 moves with the latents."""


def small_sd21(seed: int = 0) -> DiffusionBase:
    """Build Stable Diffusion 2.1 with a tenth of its channels and random weights: as many layers, in seconds."""
    vae_config, unet_config = sd21_configs()
    unet_config |= {"block_out_channels": [32, 64, 128, 128], "attention_head_dim": [2, 4, 8, 8]}
    unet_config |= {"norm_num_groups": 8, "cross_attention_dim": 64}
    vae_config |= {"block_out_channels": [16, 32, 64, 64], "norm_num_groups": 8}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return tiny_base(*build_models(vae_config, unet_config, "cpu"))


def islands_of(unet: Any) -> dict[str, list[nn.Module]]:
    """Return the sets of modules that may stay in float32, by name."""
    ends = [unet.conv_in, unet.conv_norm_out, unet.conv_out]
    resnets = [m for m in unet.modules() if type(m).__name__ == "ResnetBlock2D"]
    return {
        "none": [],
        "conv_in": ends[:1],
        "conv_norm_out, conv_out": ends[1:],
        "all three": ends,
        "all three, last resnet": [*ends, unet.up_blocks[-1].resnets[-1]],
        "all three, first and last block": [*ends, unet.down_blocks[0], unet.up_blocks[-1]],
        "all three, all resnets": [*ends, *resnets],
    }


@contextmanager
def in_float32(modules: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Compute ``modules`` in float32 where autocast is on around them."""

    def without_autocast(forward: Any) -> Any:
        def compute(*args: Any, **named: Any) -> Any:
            with torch.autocast(device.type, enabled=False):
                return forward(*(_float(a) for a in args), **{name: _float(a) for name, a in named.items()})

        return compute

    for module in modules:
        module.forward = without_autocast(module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


@contextmanager
def products_in(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Round what convolutions and linear maps multiply to ``dtype``, and nothing else: the least that it can cost."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    weights = [layer.weight.data for layer in layers]
    hooks = [m.register_forward_pre_hook(lambda _, args: (args[0].to(dtype).float(), *args[1:])) for m in layers]
    for layer in layers:
        layer.weight.data = layer.weight.data.to(dtype).float()
    try:
        yield
    finally:
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.data = weight
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def unet_errors(base: DiffusionBase, side: int, seed: int, dtypes: Sequence[str]) -> Iterator[Error]:
    """Measure the UNet at timestep 999 on standard normal latents of ``side`` x ``side``, every way in turn."""
    draws = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, base.unet.config["in_channels"], side, side, generator=draws).to(base.device)
    prompt = torch.randn(1, 77, base.unet.config["cross_attention_dim"], generator=draws).to(base.device)
    abar = float(base.abar[TIMESTEP])
    exact = base.predict(latents, TIMESTEP, prompt)

    def error(dtype: str, how: str, islands: str, other: DiffusionBase) -> Error:
        relative = _rms(other.predict(latents, TIMESTEP, prompt) - exact) / _rms(exact)
        return Error("unet", dtype, how, islands, relative, relative * ((1 - abar) / abar) ** 0.5)

    for dtype in dtypes:
        for name, modules in islands_of(base.unet).items():
            with in_float32(modules, base.device):
                yield error(dtype, "autocast", name, replace(base, autocast=DTYPES[dtype]))
        with products_in(base.unet, DTYPES[dtype]):
            yield error(dtype, "products", "", base)
        yield error(dtype, "cast", "", _cast(base, dtype))


@torch.no_grad()
def encoder_errors(base: DiffusionBase, pixels: Tensor, dtypes: Sequence[str]) -> Iterator[Error]:
    """Measure the latents' mean of images (1, 3, H, W) in [-1, 1]."""
    pixels, encoder = pixels.to(base.device), base.vae.encoder
    exact = base.encode(pixels)
    tail = [encoder.conv_norm_out, encoder.conv_out, base.vae.quant_conv]
    for dtype in dtypes:
        for name, modules in {"none": [], "tail": tail, "conv_in, tail": [encoder.conv_in, *tail]}.items():
            with in_float32(modules, base.device):
                found = replace(base, autocast=DTYPES[dtype]).encode(pixels)
            relative = _rms(found - exact) / _rms(exact)
            yield Error("encoder", dtype, "autocast", name, relative, relative)
        relative = _rms(_cast(base, dtype).encode(pixels) - exact) / _rms(exact)
        yield Error("encoder", dtype, "cast", "", relative, relative)


def _cast(base: DiffusionBase, dtype: str) -> DiffusionBase:
    """A copy of the base as ``-o dtype=...`` has it."""
    # Past diffusers' own `to`, which warns of modules to keep in float32 even where there are none.
    vae, unet = (nn.Module.to(copy.deepcopy(model), DTYPES[dtype]) for model in (base.vae, base.unet))
    return replace(base, vae=vae, unet=unet)


def _float(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_float(part) for part in value)
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _rms(tensor: Tensor) -> float:
    return float(tensor.square().mean().sqrt())


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and log a table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="isrbench tools half-precision", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("small", "sd21"), default="sd21", help="small: a tenth of the channels")
    parser.add_argument("--pixels", type=int, default=512, help="side of the image, a multiple of 64")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("bf16", "fp16"), nargs="+", default=["bf16", "fp16"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    given = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    make_deterministic(given.device)
    base = random_sd21(seed=given.seed) if given.size == "sd21" else small_sd21(given.seed)
    base = base.to(torch.device(given.device))
    draws = torch.Generator().manual_seed(given.seed)
    coarse = torch.rand(1, 3, given.pixels // 16, given.pixels // 16, generator=draws) * 2 - 1
    pixels = nn.functional.interpolate(coarse, scale_factor=16, mode="bicubic").clamp(-1, 1)
    found = []
    log.info("%-8s %-5s %-9s %-32s %9s %9s", "part", "dtype", "how", "in float32", "relative", "x0")
    of_unet = unet_errors(base, given.pixels // base.factor, given.seed, given.dtype)
    for error in chain(of_unet, encoder_errors(base, pixels, given.dtype)):
        found.append(error)
        names = (error.part, error.dtype, error.how, error.islands)
        log.info("%-8s %-5s %-9s %-32s %9.5f %9.4f", *names, error.relative, error.x0)
    if given.out:
        options = {name: str(value) for name, value in vars(given).items()}
        given.out.write_text(json.dumps({"options": options, "errors": [asdict(e) for e in found]}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
