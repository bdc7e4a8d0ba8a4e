"""What one image costs: counted on the meta device with the base's own configs, tile by tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.complexity import count_macs
from methods.onestep.backbone import build_models
from methods.onestep.geometry import Size
from methods.onestep.targets import unet_targets, vae_targets
from methods.onestep.tiling import tile_starts


@dataclass(frozen=True)
class BaseCost:
    """Multiply-accumulates of the base for one image, adapters merged or absent."""

    encoder: int
    unet: int
    """All tiles together."""
    decoder: int
    positions: dict[str, int]
    """Output positions of every adapted layer over all tiles: what ``Adapter.macs`` takes."""

    @property
    def total(self) -> int:
        """All three."""
        return self.encoder + self.unet + self.decoder


@torch.no_grad()
def base_cost(vae_config: Any, unet_config: Any, size: Size, tile: int, overlap: int, tokens: int) -> BaseCost:
    """Count the base's cost.

    Args:
        vae_config: Config of the ``AutoencoderKL``.
        unet_config: Config of the ``UNet2DConditionModel``.
        size: (height, width) of the padded image in pixels.
        tile: Latent tile side.
        overlap: Latents that neighbouring tiles share.
        tokens: Length of the prompt embedding.
    """
    vae, unet = build_models(dict(vae_config), dict(unet_config))
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = (side // factor for side in size)
    pixels = torch.empty(1, 3, *size, device="meta")
    latents = torch.empty(1, vae.config.latent_channels, height, width, device="meta")
    context = torch.empty(1, tokens, unet.config.cross_attention_dim, device="meta")
    tall, wide, tiles = height, width, 1
    if height * width > tile * tile:
        tall, wide = min(tile, height), min(tile, width)
        tiles = len(tile_starts(height, tall, overlap)) * len(tile_starts(width, wide, overlap))
    t = torch.zeros(1, device="meta")
    with _positions(vae, vae_targets(vae)) as in_vae:
        encoder = count_macs(lambda: vae.encode(pixels))
    with _positions(unet, unet_targets(unet)) as in_unet:
        step = count_macs(lambda: unet(latents[..., :tall, :wide], t, encoder_hidden_states=context))
    decoder = count_macs(lambda: vae.decode(latents))
    positions = {f"vae.{name}": n for name, n in in_vae.items()}
    positions |= {f"unet.{name}": n * tiles for name, n in in_unet.items()}
    return BaseCost(encoder, step * tiles, decoder, positions)


@contextmanager
def _positions(model: nn.Module, names: list[str]) -> Iterator[Counter[str]]:
    """Count the output positions (tokens or pixels) of the named modules while the context lasts."""
    counts: Counter[str] = Counter()

    def hook(name: str, channels: int) -> Any:
        def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            counts[name] += output.numel() // channels

        return model.get_submodule(name).register_forward_hook(count)

    handles = [hook(name, len(model.get_submodule(name).weight)) for name in names]  # pyright: ignore
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()
