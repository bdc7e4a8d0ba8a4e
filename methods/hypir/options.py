"""Options of HYPIR-SD2, and where its weights are. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from isrbench.harness.api.metric import WeightFile
from isrbench.methods.onestep.options import Enlarging, PublishedOptions

WEIGHTS = WeightFile("isrbench/HYPIR_sd2.pth", "https://huggingface.co/lxq007/HYPIR/resolve/main/HYPIR_sd2.pth")


@dataclass(frozen=True)
class HypirOptions(PublishedOptions):
    """How HYPIR-SD2 restores; the defaults are its test script's."""

    adapter: Path | None = field(
        default=None,
        metadata={"help": "the authors' HYPIR_sd2.pth; none = as `isrbench fetch weights --method hypir` leaves it"},
    )
    enlarge: Enlarging = field(
        default="bicubic",
        metadata={
            "help": "how LRs are enlarged: by Pillow's bicubic on 8-bit pixels, or by torch's bicubic or bilinear"
        },
    )
    tile: int = field(default=64, metadata={"help": "side of a latent tile; images of a larger area are tiled"})
