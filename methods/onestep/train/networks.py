"""Build everything that takes part in a training step around one frozen UNet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator, get_estimator
from isrbench.methods.onestep.adapter import AdapterSpec, Estimators
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.load import DTYPES, load_base
from isrbench.methods.onestep.base.text import TextEncoder
from isrbench.methods.onestep.train.config import TIMESTEPS, TrainConfig
from isrbench.methods.onestep.train.data import photo_of
from isrbench.methods.onestep.train.discriminator import Discriminator, FeatureTaps, tap_channels
from isrbench.methods.onestep.train.losses import load_lpips
from isrbench.methods.onestep.train.photos import find_photos
from isrbench.methods.onestep.train.prompts import prompts_of
from isrbench.methods.onestep.train.regulariser import Regulariser
from isrbench.methods.onestep.train.step import Networks

HEAD_WIDTH = 64
"""Hidden channels of the discriminator's heads."""


def build_networks(
    config: TrainConfig, spec: AdapterSpec, adapter_config: Any, device: torch.device,
    estimators: Estimators = get_estimator,
) -> Networks:  # fmt: skip
    """Load the base, attach the regulariser, then the adapter, and put all of it on the device.

    Args:
        config: The run.
        spec: The adapter to attach.
        adapter_config: What it is attached with.
        device: Where to train.
        estimators: Where the severity estimator comes from.

    Raises:
        UserError: If the base, the estimator or LPIPS weights are missing, or base, crops or adapter do not fit each
            other.
    """
    base = load_base(config.base)
    _check_fit(config, base)
    return assemble(base, config, spec, adapter_config, device, estimators)


def assemble(
    base: DiffusionBase, config: TrainConfig, spec: AdapterSpec, adapter_config: Any, device: torch.device,
    estimators: Estimators = get_estimator,
) -> Networks:  # fmt: skip
    """Put everything around a base that is loaded; see :func:`build_networks`."""
    base = for_training(base, config, device)
    regulariser = Regulariser(base.unet, config.regulariser_rank, config.seed + 1)
    taps = FeatureTaps(base.unet)
    discriminator = Discriminator(tap_channels(base.unet), HEAD_WIDTH, config.seed + 2).to(device)
    adapter = spec.attach(base.unet, base.vae, adapter_config, config.seed)
    if config.gradient_checkpointing:
        recompute(base.unet)
        recompute(base.vae)
    positive, negative = base.text.pair(config.prompt, config.negative_prompt)
    prompts = _item_prompts(config, base.text, device) if config.data.prompts else None
    if prompts is None:
        base.text.free()
    wants_lpips = config.losses.perceptual > 0 and config.losses.perceptual_kind == "lpips"
    return Networks(
        base=base,
        positive=positive.to(device),
        negative=negative.to(device),
        adapter=adapter,
        regulariser=regulariser,
        discriminator=discriminator,
        taps=taps,
        estimator=_estimator(config, adapter_config, device, estimators) if spec.routes else None,
        lpips=load_lpips(device) if wants_lpips else None,
        timestep=config.timestep,
        routed_by=config.routed_by,
        prompts=prompts,
    )


def for_training(base: DiffusionBase, config: TrainConfig, device: torch.device) -> DiffusionBase:
    """Return the base on the device, under autocast where the run asks for it."""
    return replace(base.to(device), autocast=None if config.dtype == "fp32" else DTYPES[config.dtype])


def recompute(model: Any) -> None:
    """Have a UNet or a VAE recompute its activations, block by block, in the backward pass instead of keeping them."""
    model.enable_gradient_checkpointing()
    # diffusers' UNets recompute only in training mode; no layer of these models has dropout that would wake up.
    model.train()


def _item_prompts(config: TrainConfig, text: TextEncoder, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What embeds the prompts of items.

    The text encoder goes to the device and stays: embeddings of a hundred thousand prompts made beforehand would take
    30 GB for Stable Diffusion 2.1, whose text encoder takes 1.4.
    """
    prompts = prompts_of(find_photos(config.data.folders), Path(config.data.prompts))
    text.to(device)

    def embed(items: Tensor) -> Tensor:
        # One by one: an item's embedding shall not depend on how a step is split.
        photos = [photo_of(config.seed, n, len(prompts)) for n in items.tolist()]
        return torch.cat([text.embed(prompts[photo]) for photo in photos]).to(device)

    return embed


def adapter_config(spec: AdapterSpec, fields: dict[str, Any]) -> Any:
    """Return the adapter's own config: the method's default with these fields.

    Raises:
        UserError: If it has no such field, or they do not fit.
    """
    try:
        return replace(spec.default, **fields)
    except TypeError as error:
        raise UserError(f"adapter config of {spec.id}: {error}", f"see {type(spec.default).__module__}") from error


def _estimator(config: TrainConfig, adapter_config: Any, device: torch.device, estimators: Estimators) -> Estimator:
    if adapter_config.dims != len(DIMENSIONS):
        raise UserError(f"adapter.dims is {adapter_config.dims}", f"the estimator gives {len(DIMENSIONS)} dimensions")
    estimator = estimators(config.estimator, str(device), config.logit_scale)
    estimator.load()
    return estimator


def _check_fit(config: TrainConfig, base: DiffusionBase) -> None:
    """Refuse what this base cannot be trained with, before anything is computed."""
    if config.data.prompts and not base.text.takes_text:
        raise UserError(f"base '{config.base}' has one fixed prompt and takes no text", "leave data.prompts out")
    if len(base.abar) != TIMESTEPS:
        raise UserError(
            f"base '{config.base}' has {len(base.abar)} timesteps, not {TIMESTEPS}",
            "train on a base made as Stable Diffusion 1 and 2 are",
        )
    crops = {"data.crop": config.data.crop}
    if config.validation.folders:
        crops["validation.crop"] = config.validation.crop
    for name, crop in crops.items():
        if crop % base.multiple:
            raise UserError(f"{name} is {crop}", f"this base needs a multiple of {base.multiple}")
