"""The pruned network: a UNet without time and text between pixels and a small decoder of the VAE.

Source: Chen et al., "Adversarial Diffusion Compression for Real-World Image Super-Resolution" (2025), section 3.2, and
its published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.autoencoders.vae import Decoder
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

SHUFFLE = 2
"""The UNet sees SHUFFLE x SHUFFLE pixels of the LR as one position."""
SCALE = 4
HEAD = 48
"""Channels of an attention head: three quarters of Stable Diffusion's 64."""
DECODER_GROUPS = 32
"""Groups of a normalisation of the decoder, as Stable Diffusion's."""
_GROUPS = (32, 24, 16, 12, 8, 6, 4, 2, 1)
"""Numbers of groups of a normalisation, tried in this order; Stable Diffusion's 32 do not divide pruned widths."""


@dataclass(frozen=True)
class Sizes:
    """Widths of a network of this kind; the defaults are AdcSR's."""

    unet: tuple[int, ...] = (240, 480, 960, 960)
    """Channels from the finest to the coarsest scale: three quarters of Stable Diffusion's."""
    decoder: tuple[int, ...] = (64, 128, 256, 256)
    """Channels of the VAE's decoder, the result's scale first: half of Stable Diffusion's, and less."""

    @property
    def multiple(self) -> int:
        """Return what both sides of an LR have to be divisible by."""
        return SHUFFLE * 2 ** (len(self.unet) - 1)


class AdcSRNetwork(nn.Module):
    """From LRs to results four times as large.

    Args:
        sizes: Widths.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.unet = _unet(sizes)
        decoder: Any = Decoder(
            out_channels=3, up_block_types=("UpDecoderBlock2D",) * len(sizes.decoder), layers_per_block=2,
            block_out_channels=sizes.decoder, norm_num_groups=DECODER_GROUPS,
        )  # fmt: skip
        del decoder.conv_in  # the UNet's features take its place
        self.decoder: nn.Module = decoder

    def forward(self, lr: Tensor) -> Tensor:
        """Restore LRs (B, 3, H, W) in [-1, 1], sides divisible by ``Sizes.multiple``: (B, 3, 4H, 4W), about [-1, 1]."""
        decoder = cast(Any, self.decoder)
        x = decoder.mid_block(self._features(F.pixel_unshuffle(lr, SHUFFLE)))
        for block in decoder.up_blocks:
            x = block(x)
        return decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(x)))

    def _features(self, x: Tensor) -> Tensor:
        """The UNet by its blocks: its own ``forward`` asks for a time and a text."""
        unet = cast(Any, self.unet)
        x = unet.conv_in(x)
        skips = [x]
        for block in unet.down_blocks:
            x, added = block(x, temb=None)
            skips += added
        x = unet.mid_block(x, temb=None)
        for block in unet.up_blocks:
            count = len(block.resnets)
            x = block(x, res_hidden_states_tuple=tuple(skips[-count:]), temb=None)
            del skips[-count:]
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def build_network(sizes: Sizes, device: str = "meta") -> AdcSRNetwork:
    """Build a network without weights (``meta``) or with random ones, frozen, in evaluation mode."""
    with torch.device(device):
        return AdcSRNetwork(sizes).eval().requires_grad_(False)


def _unet(sizes: Sizes) -> nn.Module:
    scales = len(sizes.unet) - 1
    unet: Any = UNet2DConditionModel(
        in_channels=3 * SHUFFLE**2, out_channels=sizes.decoder[-1], block_out_channels=sizes.unet,
        down_block_types=("CrossAttnDownBlock2D",) * scales + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * scales,
        attention_head_dim=cast(Any, tuple(width // HEAD for width in sizes.unet)), layers_per_block=2,
        cross_attention_dim=HEAD, norm_num_groups=1, use_linear_projection=True,
    )  # fmt: skip
    del unet.time_proj, unet.time_embedding
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            module.time_emb_proj = None
        elif isinstance(module, BasicTransformerBlock):
            module.attn2 = module.norm2 = None  # pyright: ignore[reportAttributeAccessIssue]
        elif isinstance(module, nn.GroupNorm):
            module.num_groups = next(count for count in _GROUPS if module.num_channels % count == 0)
    return unet
