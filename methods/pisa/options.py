"""Options of PiSA-SR. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.options import PublishedOptions


@dataclass(frozen=True)
class PisaOptions(PublishedOptions):
    """How PiSA-SR restores.

    Raises:
        UserError: If a strength is negative.
    """

    lambda_pix: float = field(
        default=1.0, metadata={"help": "strength of the pixel LoRA; other than lambda_sem, it takes a second pass"}
    )
    lambda_sem: float = field(default=1.0, metadata={"help": "strength of the semantic LoRA; 0 = pixels alone"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lambda_pix < 0 or self.lambda_sem < 0:
            raise UserError(
                f"lambda_pix={self.lambda_pix} and lambda_sem={self.lambda_sem} cannot be negative",
                "set both to 0 or more, such as 1",
            )
