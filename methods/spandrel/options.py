"""Options of networks that spandrel runs. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from isrbench.harness.errors import UserError


@dataclass(frozen=True)
class NetworkOptions:
    """How to run a network."""

    tile: int = field(default=0, metadata={"help": "side of a tile in LR pixels; 0 = the whole image at once"})
    overlap: int = field(default=16, metadata={"help": "LR pixels that neighbouring tiles share and are blended over"})
    dtype: Literal["fp32", "fp16", "bf16"] = field(
        default="fp32",
        metadata={"help": "fp16 and bf16 only where the architecture supports it", "aliases": ("precision",)},
    )

    def __post_init__(self) -> None:
        if self.tile < 0 or self.overlap < 0:
            raise UserError("options 'tile' and 'overlap' have to be 0 or more", "write -o tile=256 -o overlap=16")
        if self.tile and 2 * self.overlap > self.tile:
            raise UserError(
                f"option 'overlap' is {self.overlap}, more than half of tile={self.tile}",
                f"write -o overlap={self.tile // 4}",
            )


@dataclass(frozen=True)
class SpandrelOptions(NetworkOptions):
    """Which weights, and how to run them."""

    weights: Path = field(
        kw_only=True,
        metadata={
            "help": "a .pth, .pt, .ckpt or .safetensors file; pickled code is refused; or ncnn's .param with its .bin"
        },
    )
