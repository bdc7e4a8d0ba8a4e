"""Options of AdcSR. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class AdcSROptions:
    """How AdcSR restores; the defaults are its test script's."""

    weights: Path | None = field(default=None, metadata={"help": "the authors' net_params_200.pkl"})
    decoder: Path | None = field(default=None, metadata={"help": "the authors' halfDecoder.ckpt"})
    dtype: Literal["fp32", "bf16", "fp16"] = field(
        default="fp32", metadata={"help": "dtype of the network", "aliases": ("precision",)}
    )
    colour_fix: bool = field(default=True, metadata={"help": "give each channel the LR's mean and standard deviation"})
    truncate: bool = field(default=True, metadata={"help": "cut to 8 bits, as the published script does"})
