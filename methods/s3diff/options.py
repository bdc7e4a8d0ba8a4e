"""Options of S3Diff. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.options import Enlarging, RoutedOptions

SD_TURBO = "stabilityai/sd-turbo"
POSITIVE = "A high-resolution, 8K, ultra-realistic image with sharp focus, vibrant colors, and natural lighting."
NEGATIVE = "oil painting, cartoon, blur, dirty, messy, low quality, deformation, low resolution, oversmooth"
"""The two prompts of the authors' script; training used them too."""


@dataclass(frozen=True)
class S3DiffOptions(RoutedOptions):
    """How S3Diff restores; the defaults are its inference script's.

    Raises:
        UserError: If the guidance is below 0, or a negative prompt is given that it does not read.
    """

    base: str = field(
        default=SD_TURBO,
        metadata={"help": "the frozen base: SD-Turbo by its hub id, a folder, or tiny (shipped, for tests)"},
    )
    adapter: Path | None = field(default=None, metadata={"help": "the authors' s3diff.pkl"})
    de_net: Path | None = field(
        default=None, metadata={"help": "the network that estimates blur and noise: de_net.pth of the authors"}
    )
    process_size: int | None = field(
        default=0, metadata={"help": "smallest side of the result in pixels; smaller LRs are enlarged first. 0 = never"}
    )
    enlarge: Enlarging = field(
        default="bilinear",
        metadata={"help": "how LRs are enlarged: by torch's bilinear or bicubic, or by Pillow's bicubic on 8 bits"},
    )
    guidance: float = field(
        default=1.07, metadata={"help": "how far to go from the negative prompt's prediction; 1 = one pass, without it"}
    )
    negative_prompt: str = field(default=NEGATIVE, metadata={"help": "what guidance leads away from"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.guidance < float("inf"):
            raise UserError(f"guidance is {self.guidance}", "set it to 0 or more, such as 1.07")
        if self.guidance == 1 and self.negative_prompt != NEGATIVE:
            raise UserError(
                "a negative_prompt is given, but guidance=1 takes one pass, without it",
                "leave out -o negative_prompt=, or set another -o guidance=",
            )
