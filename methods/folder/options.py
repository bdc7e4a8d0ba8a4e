"""Options of the ``folder`` method. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from isrbench.harness.errors import UserError


@dataclass(frozen=True)
class FolderOptions:
    """Where the images are and how they are named."""

    images: Path = field(metadata={"help": "folder of restored 8-bit RGB PNGs, one for each image of the set"})
    suffix: str = field(
        default="",
        metadata={"help": "what follows the LR image's name in theirs, such as _out; * matches anything: _*"},
    )

    def __post_init__(self) -> None:
        if "/" in self.suffix or self.suffix.lower().endswith(".png"):
            raise UserError(
                f"option 'suffix' is '{self.suffix}', but it goes between the image's name and .png",
                "for 001_out.png beside 001.png write -o suffix=_out",
            )
