"""The GAN's discriminator: small heads on the features that the frozen diffusion UNet has of noised latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class FeatureTaps:
    """Collects what the UNet's down blocks hold before they halve, and its middle block's output, on the next pass.

    Before, because halving throws the texture away that tells a real image from a smooth one: on the tiny base a head
    learns nothing behind it.

    Args:
        unet: A diffusers ``UNet2DConditionModel``.
    """

    def __init__(self, unet: nn.Module) -> None:
        blocks = [*cast(nn.ModuleList, unet.down_blocks), cast(nn.Module, unet.mid_block)]
        self._features: list[Tensor] | None = None
        self._handles = [block.register_forward_hook(self._collect) for block in blocks]

    def __enter__(self) -> list[Tensor]:
        self._features = []
        return self._features

    def __exit__(self, *_: object) -> None:
        self._features = None

    def _collect(self, module: nn.Module, args: tuple, output: Tensor | tuple) -> None:
        if self._features is not None:
            self._features.append(_before_halving(module, output) if isinstance(output, tuple) else output)


def _before_halving(block: nn.Module, output: tuple) -> Tensor:
    """Pick from a down block's output (hidden, states): its states end with the halved one where it halves."""
    states = output[1]
    return states[-2] if getattr(block, "downsamplers", None) else states[-1]


def tap_channels(unet: nn.Module) -> list[int]:
    """Return the channels of each tapped feature, coarser and coarser."""
    widths = list(cast("Sequence[int]", unet.config["block_out_channels"]))  # type: ignore[index]
    return [*widths, widths[-1]]


class Discriminator(nn.Module):
    """One head a feature: two convolutions to a map of logits.

    Args:
        channels: Channels of the features, see :func:`tap_channels`.
        width: Hidden channels of a head.
        seed: Decides the start.
    """

    def __init__(self, channels: Sequence[int], width: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(
                nn.Sequential(
                    nn.GroupNorm(8, c, affine=False),
                    nn.Conv2d(c, width, 3, padding=1),
                    nn.LeakyReLU(0.2),
                    nn.Conv2d(width, 1, 1),
                )
                for c in channels
            )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the logit maps (B, 1, H, W) of features (B, C, H, W), one a head, in float32."""
        return [head(f.float()) for head, f in zip(self.heads, features, strict=True)]
