"""What one image costs: counted on the meta device with the base's own configs, tile by tile."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from isrbench.harness.api.complexity import count_macs
from isrbench.harness.imaging.tiling import Size, tile_starts
from isrbench.methods.onestep.base.diffusion import tile_size
from isrbench.methods.onestep.base.load import build_models
from isrbench.methods.onestep.base.targets import unet_targets, vae_targets

_REMEMBERED = 64


@dataclass(frozen=True)
class BaseCost:
    """Multiply-accumulates of the base for one image, adapters merged or absent."""

    encoder: int
    unet: int
    """All tiles together."""
    decoder: int
    positions: Mapping[str, int]
    """Output positions of every adapted layer over all tiles: what ``Adapter.macs`` takes."""

    @property
    def total(self) -> int:
        """Return the MACs of encoder, UNet and decoder together."""
        return self.encoder + self.unet + self.decoder


def base_cost(vae_config: Any, unet_config: Any, size: Size, tile: int, overlap: int, tokens: int) -> BaseCost:
    """Count the base's cost; the same question is counted once a process, as several arms of a study ask it.

    Args:
        vae_config: Config of the ``AutoencoderKL``.
        unet_config: Config of the ``UNet2DConditionModel``.
        size: (height, width) of the padded image in pixels.
        tile: Latent tile side.
        overlap: Latents that neighbouring tiles share.
        tokens: Length of the prompt embedding.
    """
    return _counted(_as_text(vae_config), _as_text(unet_config), size, tile, overlap, tokens)


def _as_text(config: Mapping[str, Any]) -> str:
    """A model's config as JSON, without what diffusers notes of its own (``_name_or_path``: where it was loaded)."""
    return json.dumps({name: value for name, value in config.items() if not name.startswith("_")}, sort_keys=True)


@lru_cache(_REMEMBERED)
@torch.no_grad()
def _counted(vae_config: str, unet_config: str, size: Size, tile: int, overlap: int, tokens: int) -> BaseCost:
    vae, unet = build_models(json.loads(vae_config), json.loads(unet_config))
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = (side // factor for side in size)
    pixels = torch.empty(1, 3, *size, device="meta")
    latents = torch.empty(1, vae.config.latent_channels, height, width, device="meta")
    embedding = torch.empty(1, tokens, unet.config.cross_attention_dim, device="meta")
    tall, wide = tile_size((height, width), tile)
    tiles = len(tile_starts(height, tall, overlap)) * len(tile_starts(width, wide, overlap))
    t = torch.zeros(1, device="meta")
    models = {"vae": vae, "unet": unet}
    names = [*(f"vae.{name}" for name in vae_targets(vae)), *(f"unet.{name}" for name in unet_targets(unet))]
    with count_positions(models, names) as positions:
        encoder = count_macs(lambda: vae.encode(pixels))
        step = count_macs(lambda: unet(latents[..., :tall, :wide], t, encoder_hidden_states=embedding))
    decoder = count_macs(lambda: vae.decode(latents))
    positions = {name: n * (tiles if name.startswith("unet.") else 1) for name, n in positions.items()}
    return BaseCost(encoder, step * tiles, decoder, MappingProxyType(positions))


@contextmanager
def count_positions(models: Mapping[str, nn.Module], names: Sequence[str]) -> Iterator[Counter[str]]:
    """Count the output positions (tokens or pixels) of the named modules over all forward passes inside the block.

    Args:
        models: ``vae`` and ``unet``.
        names: ``MODEL.MODULE``, as ``Adapter.layers`` names them.

    Raises:
        AttributeError: If there is no such module.
    """
    counts: Counter[str] = Counter()

    def count_in(name: str) -> RemovableHandle:
        part, _, inner = name.partition(".")
        module = models[part].get_submodule(inner)
        channels = len(cast(Tensor, module.weight))

        def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            counts[name] += output.numel() // channels

        return module.register_forward_hook(count)

    with ExitStack() as hooks:
        for name in names:
            hooks.callback(count_in(name).remove)
        yield counts
