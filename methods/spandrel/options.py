"""Options of networks that spandrel runs. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from isrbench.harness.api.speed import CHANNELS_LAST, COMPILE
from isrbench.harness.imaging.tiling import TileOptions


@dataclass(frozen=True)
class NetworkOptions(TileOptions):
    """How to run a network."""

    dtype: Literal["fp32", "fp16", "bf16"] = field(
        default="fp32",
        metadata={"help": "fp16 and bf16 only where the architecture supports it", "aliases": ("precision",)},
    )
    channels_last: bool = field(default=False, metadata=CHANNELS_LAST)
    compile: bool = field(default=False, metadata=COMPILE)


@dataclass(frozen=True)
class SpandrelOptions(NetworkOptions):
    """Which weights, and how to run them."""

    weights: Path = field(
        kw_only=True,
        metadata={
            "help": "a .pth, .pt, .ckpt or .safetensors file; pickled code is refused; or ncnn's .param with its .bin"
        },
    )
