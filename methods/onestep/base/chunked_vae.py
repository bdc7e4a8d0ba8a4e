"""A VAE in chunks of rows: far less memory on large images, and exactly the untiled result up to rounding.

Every convolution runs chunk by chunk with the rows it needs from its neighbours, and every group norm uses the
statistics of the whole image, so there are no seams to hide. (The published scripts cut the VAE into tiles with
a margin of 11 latents, and diffusers blends tiles that were normalised each by itself; both change the result.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isrbench.harness.errors import UserError

CHUNK_PIXELS = 2**19
"""Positions that one chunk covers at most, unless a single row has more."""

_IMAGES = 72
"""Bytes a pixel of the images around the VAE: source, padded, decoded and so on, six of three float32 channels."""

_Part = Callable[[Tensor], Tensor]


def check_memory(vae_config: Any, height: int, width: int, bytes_per_value: int, available: int) -> None:
    """Refuse an image whose chunks cannot fit, before the machine starts to swap or the process is killed.

    Args:
        vae_config: Config of the ``AutoencoderKL``.
        height: Rows of the padded image.
        width: Its columns.
        bytes_per_value: Of the networks' dtype: 4, or 2 in half precision.
        available: What the device has left.

    Raises:
        UserError: Naming what it takes.
    """
    needed = peak_bytes(vae_config, height, width, bytes_per_value)
    if needed > available:
        fix = "restore a smaller image, or cut it into parts"
        raise UserError(
            f"an image of {width} x {height} pixels takes about {needed / 2**30:.1f} GiB in the VAE, "
            f"but only {available / 2**30:.1f} GiB are available",
            f"use -o dtype=fp16, or {fix}" if bytes_per_value > 2 else fix,
        )


def available_bytes(device: str) -> int:
    """Return the bytes that a GPU has left, or the machine (where Linux tells; else no limit)."""
    if device.startswith("cuda"):
        # Blocks that torch keeps from earlier images are free to it, though not to the driver.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return sys.maxsize
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), sys.maxsize)


def peak_bytes(vae_config: Any, height: int, width: int, bytes_per_value: int) -> int:
    """Estimate the most memory that encoding or decoding in chunks takes; weights are not counted.

    A residual block of a level holds its input and two tensors of its output's width at once, and works on one chunk.

    Args:
        vae_config: Config of the ``AutoencoderKL``.
        height: Rows of the image.
        width: Its columns.
        bytes_per_value: Of the networks' dtype.
    """
    widths = list(vae_config["block_out_channels"])
    into_encoder = zip(widths, [widths[0], *widths], strict=False)
    into_decoder = zip(widths, [*widths[1:], widths[-1]], strict=True)
    pixels = height * width
    most = 0
    for path in (into_encoder, into_decoder):
        for level, (own, before) in enumerate(path):
            here = pixels >> 2 * level
            chunk = min(max(CHUNK_PIXELS, 2 * width), here) * max(own, before) * (8 + 2 * bytes_per_value)
            most = max(most, here * (2 * own + before) * bytes_per_value + chunk)
    return most + pixels * _IMAGES


def encode_in_chunks(vae: Any, pixels: Tensor) -> Tensor:
    """Encode as ``vae.encode`` does.

    Args:
        vae: A diffusers ``AutoencoderKL``.
        pixels: (B, 3, H, W) in [-1, 1], sides divisible by the VAE's factor.

    Returns:
        The moments (B, 2 C, H / f, W / f): mean and log-variance.
    """
    encoder = vae.encoder
    x = _convolved(pixels, encoder.conv_in)
    for block in encoder.down_blocks:
        for resnet in block.resnets:
            x = _resnet(x, resnet)
        for down in block.downsamplers or ():
            x = _halved(x, down.conv)
    x = _tail(_middle(x, encoder.mid_block), encoder)
    return x if vae.quant_conv is None else vae.quant_conv(x)


def decode_in_chunks(vae: Any, latents: Tensor) -> Tensor:
    """Decode as ``vae.decode`` does.

    Args:
        vae: A diffusers ``AutoencoderKL``.
        latents: (B, C, h, w), unscaled.

    Returns:
        (B, 3, h f, w f).
    """
    decoder = vae.decoder
    x = latents if vae.post_quant_conv is None else vae.post_quant_conv(latents)
    x = _middle(_convolved(x, decoder.conv_in), decoder.mid_block)
    for block in decoder.up_blocks:
        for resnet in block.resnets:
            x = _resnet(x, resnet)
        for up in block.upsamplers or ():
            x = _doubled(x, up.conv)
    return _tail(x, decoder)


def _middle(x: Tensor, block: Any) -> Tensor:
    x = _resnet(x, block.resnets[0])
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        x = x if attention is None else attention(x)
        x = _resnet(x, resnet)
    return x


def _tail(x: Tensor, part: Any) -> Tensor:
    return _convolved(x, part.conv_out, _normed(x, part.conv_norm_out, part.conv_act))


def _resnet(x: Tensor, block: Any) -> Tensor:
    hidden = _convolved(x, block.conv1, _normed(x, block.norm1, block.nonlinearity))
    hidden = _convolved(hidden, block.conv2, _normed(hidden, block.norm2, block.nonlinearity))
    for top, end in _rows(x):
        rows = x[..., top:end, :]
        hidden[..., top:end, :] += rows if block.conv_shortcut is None else block.conv_shortcut(rows)
    return hidden.div_(block.output_scale_factor)


def _normed(x: Tensor, norm: nn.GroupNorm, activation: _Part) -> _Part:
    """The group norm and activation of any chunk of ``x``, by the statistics of all of it."""
    batch, channels = x.shape[:2]
    each = [_statistics(x[..., top:end, :].reshape(batch, norm.num_groups, -1)) for top, end in _rows(x)]
    variances, means = torch.stack(each, dim=-1)
    counts = torch.tensor([end - top for top, end in _rows(x)], device=x.device)
    share = counts / counts.sum()
    mean = (means * share).sum(-1)
    variance = ((variances + (means - mean[..., None]) ** 2) * share).sum(-1)
    repeat = channels // norm.num_groups
    gain = (variance + norm.eps).rsqrt().repeat_interleave(repeat, dim=1) * norm.weight.float()
    shift = norm.bias.float() - mean.repeat_interleave(repeat, dim=1) * gain
    gain, shift = gain[..., None, None], shift[..., None, None]
    return lambda chunk: activation(torch.addcmul(shift, chunk.float(), gain).to(x.dtype))


def _statistics(piece: Tensor) -> Tensor:
    return torch.stack(torch.var_mean(piece.float(), dim=-1, correction=0))


def _convolved(x: Tensor, conv: nn.Module, before: _Part = lambda chunk: chunk) -> Tensor:
    """A 3x3 convolution with padding 1 of ``before(x)``."""

    def chunk(top: int, end: int) -> Tensor:
        low, high = max(top - 1, 0), min(end + 1, x.shape[-2])
        y = conv(before(x[..., low:high, :]))
        return y[..., top - low : top - low + end - top, :]

    return _assembled(x, chunk, 1.0)


def _halved(x: Tensor, conv: nn.Module) -> Tensor:
    """A 3x3 convolution of stride 2, padded by one row below and one column to the right."""

    def chunk(top: int, end: int) -> Tensor:
        rows = x[..., top : min(end + 1, x.shape[-2]), :]
        return conv(F.pad(rows, (0, 1, 0, 1 if end == x.shape[-2] else 0)))

    return _assembled(x, chunk, 0.5)


def _doubled(x: Tensor, conv: nn.Module) -> Tensor:
    """Nearest neighbours x2, then a 3x3 convolution with padding 1."""

    def chunk(top: int, end: int) -> Tensor:
        low, high = max(top - 1, 0), min(end + 1, x.shape[-2])
        y = conv(F.interpolate(x[..., low:high, :], scale_factor=2.0, mode="nearest"))
        return y[..., 2 * (top - low) : 2 * (top - low + end - top), :]

    return _assembled(x, chunk, 2.0)


def _assembled(x: Tensor, chunk: Callable[[int, int], Tensor], factor: float) -> Tensor:
    """Write chunk after chunk into one tensor, which has ``factor`` times the rows of ``x``."""
    whole: Tensor | None = None
    for top, end in _rows(x):
        piece = chunk(top, end)
        if whole is None:
            whole = piece.new_empty(*piece.shape[:2], int(x.shape[-2] * factor), piece.shape[-1])
        whole[..., int(top * factor) : int(end * factor), :] = piece
    assert whole is not None
    return whole


def _rows(x: Tensor) -> Iterator[tuple[int, int]]:
    """(top, end) of every chunk; all tops are even, so that halving meets no seam."""
    height, width = x.shape[-2:]
    step = max(2, CHUNK_PIXELS // width // 2 * 2)
    return ((top, min(top + step, height)) for top in range(0, height, step))
