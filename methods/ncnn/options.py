"""Options of networks that ncnn runs. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.tiling import TileOptions


@dataclass(frozen=True)
class NcnnOptions(TileOptions):
    """Which network, and how to run it."""

    param: Path = field(kw_only=True, metadata={"help": "the graph, a .param file"})
    bin: Path | None = field(default=None, metadata={"help": "its weights; none = the .bin beside the .param"})
    threads: int = field(default=1, metadata={"help": "CPU threads that compute one image"})
    vulkan: bool = field(default=False, metadata={"help": "whether a GPU computes, through Vulkan"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.param.is_dir():
            raise UserError(f"option 'param': {self.param} is a folder", "give the graph: -o param=FILE.param")
        if self.threads < 1:
            raise UserError(f"option 'threads' is {self.threads}, but has to be 1 or more", "write -o threads=1")

    @property
    def weights(self) -> Path:
        """Return the ``.bin`` file."""
        return self.bin or self.param.with_suffix(".bin")
