"""Which modules of a Stable-Diffusion-like UNet and VAE carry an adapter: the rules that OSEDiff set for the family.

Source: Wu et al., "One-Step Effective Diffusion Network for Real-World Image Super-Resolution" (OSEDiff, 2024), its
published training code. On Stable Diffusion 2.1 the rules name 258 modules of the UNet and 32 of the VAE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import nn

_UNET_PARTS = ("to_q", "to_k", "to_v", "to_out.0", "conv", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
_VAE_PARTS = ("to_q", "to_k", "to_v", "to_out.0", "conv")
_STAGES = ("conv_in", "down_blocks", "mid_block", "up_blocks", "conv_out", "quant_conv")


def unet_targets(unet: nn.Module) -> list[str]:
    """Name the UNet's adapted modules: attention and transformer projections, feed-forwards, every convolution.

    Norms and time embeddings are never among them.

    Args:
        unet: A diffusers ``UNet2DConditionModel``, with or without adapters (the meta device will do).

    Returns:
        Dotted module names in the UNet's own order; each is an ``nn.Linear`` or ``nn.Conv2d``, or an adapter's wrapper
        around one.
    """
    return [name for name in _weighted(unet) if "norm" not in name and any(part in name for part in _UNET_PARTS)]


def vae_targets(vae: nn.Module) -> list[str]:
    """Name the VAE's adapted modules: the encoder's convolutions and attention projections, and ``quant_conv``.

    Args:
        vae: A diffusers ``AutoencoderKL``, with or without adapters (the meta device will do).

    Returns:
        Dotted module names in the VAE's own order; the decoder is never among them.
    """
    return [
        name
        for name in _weighted(vae)
        if name == "quant_conv"
        or (name.startswith("encoder.") and "norm" not in name and any(part in name for part in _VAE_PARTS))
    ]


def named_modules(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Name the linear maps and convolutions that a list of ``target_modules`` means to peft.

    Args:
        model: With or without adapters (the meta device will do).
        names: Whole dotted names, or what comes after a dot at their end: ``conv`` is ``downsamplers.0.conv``, but
            neither ``conv_in`` nor ``conv.0``.

    Returns:
        Dotted module names in the model's own order.
    """
    wanted = tuple(names)
    return [name for name in _weighted(model) if any(name == end or name.endswith(f".{end}") for end in wanted)]


def in_order(names: list[str]) -> list[str]:
    """Sort module names of a diffusers UNet or VAE encoder by when they run.

    Registration differs from execution in two places: up blocks are registered before the middle block, and a
    block's attentions before its residual blocks.
    """

    def when(name: str) -> tuple[int, int, float, bool]:
        part, _, rest = name.removeprefix("encoder.").partition(".")
        block = re.match(r"\d+", rest)
        unit = re.search(r"(resnets|attentions)\.(\d+)", rest)
        return (
            _STAGES.index(part) if part in _STAGES else len(_STAGES),
            int(block[0]) if block else 0,
            float(unit[2]) if unit else float("inf"),
            unit is not None and unit[1] == "attentions",
        )

    return sorted(names, key=when)


def base_name(model: nn.Module, name: str) -> str:
    """Return the name of the innermost base module under ``name``, inside whatever adapters wrap it.

    Adapters keep what they wrap as ``base`` (this project's) or ``base_layer`` (peft's).
    """
    wrapped = wrapped_name(model.get_submodule(name))
    return name if wrapped is None else base_name(model, f"{name}.{wrapped}")


def wrapped_name(module: nn.Module) -> str | None:
    """Return under which name an adapter's wrapper keeps the module it stands around; None for other modules."""
    return next((name for name in ("base", "base_layer") if isinstance(getattr(module, name, None), nn.Module)), None)


def _weighted(model: nn.Module, prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, child in model.named_children():
        if isinstance(child, (nn.Linear, nn.Conv2d)) or wrapped_name(child) is not None:
            names.append(prefix + name)
        else:
            names += _weighted(child, f"{prefix}{name}.")
    return names
