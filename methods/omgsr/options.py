"""Options of OMGSR-S. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from isrbench.methods.onestep.options import PublishedOptions


@dataclass(frozen=True)
class OmgsrOptions(PublishedOptions):
    """How OMGSR-S restores; the defaults are its inference script's."""

    adapter: Path | None = field(
        default=None,
        metadata={"help": "the authors' folder with unet_lora_adapter/ and vae_encoder_lora_adapter/"},
    )
    tile: int = field(default=64, metadata={"help": "side of a latent tile; images of a larger area are tiled"})
