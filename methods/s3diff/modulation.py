"""From an image's two degradation scores to a matrix for each block of the VAE's encoder and of the UNet.

Source: S3Diff, section 3.2: a Fourier embedding of the scores and one of the block, each through a small layer, joined.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from isrbench.harness.errors import UserError

BLOCKS = {"vae": 6, "unet": 10}
"""Blocks that have an embedding: VAE down 0-3, mid, the rest; UNet down 0-3, mid, up 0-3, the rest."""
_SCALES = 4
"""Down blocks, or up blocks, at most."""
_FREQUENCIES, _SCORES, _WIDTH, _BLOCK = 64, 2, 256, 64


def block_of(layer: str) -> int:
    """Tell which embedding a layer gets.

    Args:
        layer: ``vae.encoder.`` or ``unet.`` and the module's dotted name.

    Raises:
        UserError: If the base has more blocks than there are embeddings.
    """
    part, _, name = layer.partition(".")
    stage, _, rest = name.removeprefix("encoder.").partition(".")
    if stage == "mid_block":
        return _SCALES
    if stage not in ("down_blocks", "up_blocks"):
        return BLOCKS[part] - 1
    block = int(rest.partition(".")[0])
    if block >= _SCALES:
        raise UserError(f"S3Diff knows no block of '{layer}'", "use a base of at most four scales, such as SD-Turbo")
    return block if stage == "down_blocks" else _SCALES + 1 + block


class _Network(nn.Module):
    """What one of the two networks has of its own."""

    def __init__(self, blocks: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.degradation = nn.Linear(2 * _SCORES * _FREQUENCIES, _WIDTH)
        self.block = nn.Linear(_BLOCK, _BLOCK)
        self.embeddings = nn.Parameter(torch.empty(blocks, _BLOCK))
        self.fuse = nn.Linear(_WIDTH + _BLOCK, rank**2)

    def forward(self, embedded: Tensor) -> Tensor:
        """(B, 256) to (B, blocks, r, r)."""
        images, blocks = self.degradation(embedded).relu(), self.block(self.embeddings).relu()
        size = (len(images), len(blocks), -1)
        joined = torch.cat([images[:, None].expand(size), blocks[None].expand(size)], dim=-1)
        return self.fuse(joined).unflatten(-1, (self.rank, self.rank))


class Modulation(nn.Module):
    """All that is not a LoRA. Frozen, float32.

    Args:
        ranks: Rank of the LoRAs, by ``vae`` and ``unet``.
        generator: Draws the start.
    """

    frequencies: Tensor
    """(64,), drawn once and never trained."""

    def __init__(self, ranks: dict[str, int], generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(_FREQUENCIES, generator=generator))
        self.vae = _Network(BLOCKS["vae"], ranks["vae"])
        self.unet = _Network(BLOCKS["unet"], ranks["unet"])
        for parameter in self.parameters():
            parameter.requires_grad_(False).copy_(torch.randn(parameter.shape, generator=generator) * 0.02)

    def forward(self, scores: Tensor) -> dict[str, Tensor]:
        """Return M by ``vae`` and ``unet``.

        Args:
            scores: float32 (B, 2) in [0, 1].

        Returns:
            float32 (B, blocks, r, r) each.
        """
        angles = scores[..., None] * self.frequencies * (2 * math.pi)
        embedded = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
        return {"vae": self.vae(embedded), "unet": self.unet(embedded)}
