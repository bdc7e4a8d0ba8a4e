"""What a training run is: one frozen value, read from a preset and from ``key=value`` overrides."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.options import ColourFix
from isrbench.methods.onestep.train.values import apply_override, read_preset, renamed

_OVERRIDE = re.compile(r"[a-z_][a-z0-9_.]*=")
HELP = """key=value sets any field of the config: optim.lr=1e-4, adapter.top_k=4, data.hub=ID, batch=1, threads=1.
The fields are the classes of methods/onestep/train/config.py; those of adapter.* are the method's own config."""
TIMESTEPS = 1000
"""Timesteps of the noise schedules that training knows, Stable Diffusion's."""


def _rising(pair: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= pair[0] < pair[1] <= TIMESTEPS:
        raise ValueError(f"a range of timesteps has 0 <= low < high <= {TIMESTEPS}")
    return pair


Timesteps = Annotated[tuple[int, int], AfterValidator(_rising)]
"""A range [low, high) of timesteps."""


def _levels(pair: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= pair[0] <= pair[1] <= 1:
        raise ValueError("a part of the severity scale has 0 <= low <= high <= 1")
    return pair


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Part):
    """Where photos come from and how pairs are made of them."""

    folders: tuple[str, ...] = ()
    """Folders of images, searched recursively, or text files with one path a line; ``:N`` behind either takes the first
    N (photos.py)."""
    hub: str = ""
    """A Hugging Face ``datasets`` id (or a folder it can load) instead of folders."""
    split: str = "train"
    streaming: bool = False
    """Stream the hub dataset rather than download it."""
    prompts: str = ""
    """File of lines ``image<TAB>prompt``, one for every photo of ``folders``: the generator's, the teacher's and the
    regulariser's prompt in place of ``prompt``. An image is its path below its folder, or as its list has it, with or
    without the ending."""
    column: str = "image"
    """The hub dataset's image column."""
    crop: int = Field(512, ge=16, multiple_of=4)
    """Side of the HR crop in pixels."""
    severity_window: int = Field(0, ge=0, multiple_of=4)
    """Side of the larger HR window around the crop that is degraded, and whose LR the severity estimator sees; 0 =
    the crop itself. A severity of a whole image should not be learnt from a crop of a few pixels."""
    degradations: tuple[str, ...] = ("realesrgan",)
    """Drawn from with equal chances: ``realesrgan``, ``stablesr``, ``camera``, ``levels`` (the severity scale)."""
    levels: Annotated[tuple[float, float], AfterValidator(_levels)] = (0.0, 1.0)
    """The part of the severity scale, [low, high], that ``levels`` draws from."""
    workers: int = Field(4, ge=0)
    """Loader processes; they never change the result."""


class Losses(_Part):
    """Weights and choices of the generator's losses; a weight of 0 switches a loss off and saves its cost."""

    l2: float = Field(1.0, ge=0)
    perceptual: float = Field(2.0, ge=0)
    perceptual_kind: Literal["lpips", "features"] = "lpips"
    """``lpips``: LPIPS with VGG, needs its weights. ``features``: the distance of the frozen UNet's features, which
    the GAN computes anyway; the tiny preset's choice, because it needs nothing else."""
    vsd: float = Field(1.0, ge=0)
    cfg: float = 7.5
    """Guidance scale of the teacher in VSD."""
    vsd_t: Timesteps = (20, 980)
    """Timesteps of VSD: drawn uniformly from [low, high)."""
    gan: float = Field(0.1, ge=0)
    gan_kind: Literal["hinge", "nonsaturating"] = "hinge"
    gan_t: Timesteps = (0, 300)
    """Timesteps at which latents are noised for the discriminator's and the perceptual features."""
    gan_start: int = Field(0, ge=0)
    """First step at which the discriminator learns and the generator feels it; before, it does not run."""
    r1: float = Field(0.0, ge=0)
    """Weight of the gradient penalty on the discriminator's real inputs (the features)."""
    balance: float = Field(1.0, ge=0)
    """Factor on the adapter's own balance loss, which carries its alpha."""


class Optim(_Part):
    """Optimizers and schedules; AdamW throughout."""

    lr: float = Field(5e-5, gt=0)
    router_factor: float = Field(1.0, gt=0)
    """Learning rate of the routers in terms of ``lr``; a short run needs them to move faster than the ranks."""
    lr_regulariser: float = Field(5e-5, gt=0)
    lr_discriminator: float = Field(5e-5, gt=0)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    weight_decay: float = Field(1e-2, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0)
    clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient, of each of the three networks."""
    max_skipped: int = Field(10, ge=0)
    """Steps in a row that may be skipped because a loss or a gradient is not finite; one more stops the run."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the running mean of the adapter's weights that is validated and saved; 0 = the weights themselves."""


class Validation(_Part):
    """What is looked at while training."""

    folders: tuple[str, ...] = ()
    """Photos for validation, of which crops are degraded; without them and without ``dataset``, there is none."""
    images: int = Field(8, ge=1)
    """Crops, each degraded at every level; and how many images of ``dataset`` are shown."""
    crop: int = Field(192, ge=16, multiple_of=4)
    """Side of the HR crops in pixels."""
    every: int = Field(500, ge=1)
    levels: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.2, 0.5, 0.8)
    """Synthetic severity levels of the LRs: ``mild``, ``medium`` and ``severe``."""
    metrics: tuple[str, ...] = ("psnr", "piqe")
    """Metrics of the harness (``isrbench list metrics``) with a value for each image, or names of sets of them."""
    dataset: str = ""
    """A data set whose whole images are restored and scored as ``isrbench eval --dataset`` does: an id, a card or a
    folder of pairs; empty = none."""
    data_root: Path | None = None
    """Where it is looked for, as ``--data-root``."""
    best: str = ""
    """Keep ``best.safetensors``, the adapter of the best validation, by this metric: ``lpips@DRealSR``, ``psnr@0.5``,
    or without @ its value on ``dataset``, else its mean over the levels; empty = none."""

    @property
    def any(self) -> bool:
        """Return whether there is anything to look at."""
        return bool(self.folders or self.dataset)


class TrainConfig(_Part):
    """One training run. The same config gives the same adapter on a CPU, bit for bit."""

    base: str
    """``tiny`` or ``tiny-gen`` (shipped), a folder, or a hub id of a diffusers Stable Diffusion base."""
    timestep: int = Field(999, ge=0, lt=TIMESTEPS)
    """Where the single step starts."""
    colour_fix: ColourFix = "adain"
    """What validation applies, and inference unless told otherwise; the losses see the image before it."""
    prompt: str = ""
    """Prompt of the generator and the teacher; a base with its own prompt embeddings ignores it."""
    negative_prompt: str = ""
    """What guidance leads away from; likewise."""
    estimator: str = "tiny"
    """Severity estimator: ``tiny`` or ``fft`` (shipped), or ``open_clip``'s ``model/weights``."""
    logit_scale: float | None = Field(None, gt=0)
    """Temperature of the estimator's softmax; None = the model's own, 1 = the paper's literal formula."""
    routed_by: Literal["own", "constant", "next"] = "own"
    """What the routers see in training: an image's own severity, 0.5 in every dimension, or the severity of the next
    image in the micro-batch (the first one's for the last). The latter two are controls, for studies."""
    out: Path
    steps: int = Field(gt=0)
    seed: int = Field(0, ge=0)
    global_batch: int = Field(ge=1)
    """Images per optimizer step, over all processes and micro-batches; ``batch`` where it is not given."""
    batch: int = Field(4, ge=1)
    """The most images that a process computes at once: memory, not the result (but for the rounding of sums). A step's
    share of a process is cut into equal micro-batches of at most this size."""
    processes: int = Field(0, ge=0)
    """Processes that train together; 0 = one for each visible GPU, or as many as were started together."""
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    """``fp16`` and ``bf16`` autocast the networks; weights, losses and optimizers stay float32. From timestep 999 only
    ``fp32`` and ``fp16`` are exact enough (docs/training.md, Half precision)."""
    gradient_checkpointing: bool = False
    """Recompute the UNet's and the VAE's activations in the backward pass instead of keeping them."""
    device: Literal["auto", "cpu"] = "auto"
    threads: int = Field(0, ge=0)
    """CPU threads per process; 0 = torch's own choice."""
    regulariser_rank: int = Field(4, ge=1)
    save_every: int = Field(500, ge=1)
    keep: int = Field(2, ge=1)
    """How many training states stay on disk."""
    log_every: int = Field(10, ge=1)
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Trackers besides ``curves.csv``."""
    half: bool = False
    """Save the adapter in float16."""
    severity_note: int = Field(256, ge=0)
    """How many of the first training items' severities are looked at before the first step; 0 = none."""
    adapter: dict[str, Any] = {}
    """Fields of the method's own adapter config."""
    data: Data
    losses: Losses
    optim: Optim
    validation: Validation


def parse_config(method: str, argv: Sequence[str], *, data: bool = True) -> tuple[TrainConfig, bool]:
    """Read a command line: ``--preset NAME|FILE --data DIR ... --out DIR --steps N --seed S --resume key=value ...``.

    Args:
        method: The method that is trained; picks the preset's ``[method.ID]`` table for the adapter.
        argv: The arguments.
        data: Whether training data has to be named; False for what does not train.

    Returns:
        The config, and whether to resume.

    Raises:
        UserError: If the preset is unknown, or an option is unknown or does not fit.
    """
    parser = argparse.ArgumentParser(
        prog=f"isrbench train --method {method}", usage="%(prog)s [options] [key=value ...]", epilog=HELP
    )
    parser.add_argument("--preset", default="tiny", help="tiny, tiny-gen, sd21, sd21-osediff, or a TOML file")
    parser.add_argument("--data", nargs="+", help="folders of photos, or lists of paths; FOLDER:N = the first N")
    parser.add_argument("--validation", nargs="+", help="folders of validation photos")
    parser.add_argument("--out", help="where everything goes")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--processes", type=int, help="how many train together; default: one for each visible GPU")
    parser.add_argument("--resume", action="store_true", help="continue from the last state in --out")
    words, overrides = split_overrides(argv)
    args, unknown = parser.parse_known_args(words)
    if unknown:
        raise UserError(
            f"'{unknown[0]}' is neither an option nor key=value", f"isrbench train --method {method} --help"
        )
    values = read_preset(args.preset)
    values["adapter"] = values.pop("method", {}).get(method, {})
    for name in ("out", "steps", "seed", "processes"):
        if getattr(args, name) is not None:
            values[name] = getattr(args, name)
    for part, folders in (("data", args.data), ("validation", args.validation)):
        if folders:
            values.setdefault(part, {})["folders"] = folders
    values.setdefault("out", f"runs/{method}-{Path(args.preset).stem}")
    for override in overrides:
        apply_override(values, override)
    return validated(values, data=data), args.resume


def split_overrides(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a command line into its words and its ``key=value``, which an option of many words would swallow."""
    return [w for w in argv if not _OVERRIDE.match(w)], [w for w in argv if _OVERRIDE.match(w)]


def validated(values: dict[str, Any], *, data: bool = True) -> TrainConfig:
    """Build the config from plain values; names of earlier releases are understood.

    Args:
        values: The fields.
        data: Whether training data has to be named.

    Raises:
        UserError: Naming every value that does not fit.
    """
    if "accumulate" in values:
        raise UserError(
            "accumulate is no field any more: a step's micro-batches follow from global_batch",
            "set global_batch to the images per step (batch x accumulate x processes of before), and batch to what the "
            "memory holds",
        )
    values = renamed(values)
    values = {"global_batch": values.get("batch", TrainConfig.model_fields["batch"].default)} | values
    try:
        config = TrainConfig(**values)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"the training config does not fit: {wrong}", "see methods/onestep/train/config.py") from error
    if config.data.levels != (0, 1) and "levels" not in config.data.degradations:
        raise UserError(
            f"data.levels is {list(config.data.levels)}, but the severity scale is not drawn from",
            "add data.degradations='[\"levels\"]', or leave data.levels out",
        )
    if config.validation.best and not config.validation.any:
        raise UserError(
            f"validation.best is {config.validation.best}, but there is no validation",
            "pass --validation FOLDER or validation.dataset=ID, or leave validation.best out",
        )
    if data and not config.data.folders and not config.data.hub:
        raise UserError("no training data", "pass --data FOLDER ..., or data.hub=ID for a Hugging Face dataset")
    if config.data.prompts and config.data.hub:
        raise UserError("data.prompts names photos of --data, and data.hub has none", "leave data.prompts out")
    return config
