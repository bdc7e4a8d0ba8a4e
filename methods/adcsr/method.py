"""AdcSR, ready to restore."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from isrbench.harness.api.complexity import count_macs, count_parameters
from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.methods.adcsr.network import SCALE, AdcSRNetwork, Sizes, build_network
from isrbench.methods.adcsr.options import AdcSROptions
from isrbench.methods.adcsr.weights import load_weights
from isrbench.methods.onestep.base.load import DTYPES
from isrbench.methods.onestep.infer.colour import truncate
from isrbench.methods.onestep.infer.geometry import pad

_LEAST = 1e-6
"""Least standard deviation that a channel is divided by; a flat one stays flat."""


@dataclass
class AdcSR:
    """The loaded network; see :class:`isrbench.harness.api.method.Method`."""

    network: AdcSRNetwork
    sizes: Sizes
    options: AdcSROptions
    device: str
    weights_hash: str

    @torch.no_grad()
    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Restore one image; see :class:`isrbench.harness.api.method.Method`.

        Raises:
            UserError: If half precision overflowed.
        """
        height, width = lr.shape[-2:]
        pixels = pad(lr, self._padded(height, width)).to(self.device, DTYPES[self.options.dtype])
        result = self.network(pixels[None] * 2 - 1)[0, :, : SCALE * height, : SCALE * width].float().cpu()
        if not torch.isfinite(result).all():
            raise UserError(
                f"the network returned values that are not finite in {self.options.dtype}", "use -o dtype=fp32 or bf16"
            )
        if self.options.colour_fix:
            result = as_lr(result, lr.float().cpu() * 2 - 1)
        result = (result / 2 + 0.5).clamp(0, 1)
        return Restored(truncate(result) if self.options.truncate else result)

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of one LR image, padded as it is for restoring."""
        network = build_network(self.sizes)
        lr = torch.empty(1, 3, *self._padded(height, width), device="meta")
        total, _ = count_parameters(network)
        return Cost(count_macs(lambda: network(lr)), params_total=total, params_active=total)

    def input_hash(self, image: str) -> str:
        """Return "": images have no input of their own."""
        return ""

    def _padded(self, height: int, width: int) -> tuple[int, int]:
        multiple = self.sizes.multiple
        return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def as_lr(image: Tensor, lr: Tensor) -> Tensor:
    """Shift and scale every channel of a result to the LR's mean and standard deviation (unbiased).

    Args:
        image: float32 (3, H, W).
        lr: float32 (3, h, w), in the same range.
    """
    means, deviations = zip(*map(_statistics, (image, lr)), strict=True)
    return (image - means[0]) / deviations[0].clamp_min(_LEAST) * deviations[1] + means[1]


def _statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    flat = image.flatten(1)
    # One pixel has no deviation; torch would give NaN.
    deviation = flat.std(dim=1) if flat.shape[1] > 1 else torch.zeros_like(flat[:, 0])
    return flat.mean(dim=1)[:, None, None], deviation[:, None, None]


def build(options: AdcSROptions, runtime: Runtime) -> AdcSR:
    """Load the network.

    Raises:
        UserError: If the scale is not 4, or a file is missing or does not fit.
    """
    if runtime.scale != SCALE:
        raise UserError(f"AdcSR restores at scale {SCALE}, not {runtime.scale}", "choose another dataset")
    weights, decoder = _given(options)
    network = load_weights(weights, decoder)
    sizes = Sizes(
        tuple(network.unet.config["block_out_channels"]),  # pyright: ignore
        tuple(block.resnets[0].out_channels for block in network.decoder.up_blocks)[::-1],  # pyright: ignore
    )
    network = network.to(runtime.device, DTYPES[options.dtype])
    both = hashlib.sha256("\n".join(map(file_hash, (weights, decoder))).encode()).hexdigest()
    return AdcSR(network, sizes, options, runtime.device, both)


def _given(options: AdcSROptions) -> tuple[Path, Path]:
    if options.weights is None or options.decoder is None:
        raise UserError(
            "adcsr needs its authors' two files",
            "hf download Guaishou74851/AdcSR weight/net_params_200.pkl weight/pretrained/halfDecoder.ckpt "
            "--local-dir . and add -o weights=weight/net_params_200.pkl -o decoder=weight/pretrained/halfDecoder.ckpt",
        )
    for path in (options.weights, options.decoder):
        if not path.is_file():
            raise UserError(f"the weight file {path} does not exist", "check -o weights= and -o decoder=")
    return options.weights, options.decoder
