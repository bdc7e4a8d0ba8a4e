"""Build everything that takes part in a training step around one frozen UNet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.methods.onestep.adapter import Adapter
from isrbench.methods.onestep.train.config import TrainConfig
from isrbench.methods.onestep.train.discriminator import Discriminator, FeatureTaps, tap_channels
from isrbench.methods.onestep.train.frozen import Frozen, load_frozen
from isrbench.methods.onestep.train.losses import load_lpips
from isrbench.methods.onestep.train.regulariser import Regulariser
from isrbench.methods.onestep.train.step import Networks

if TYPE_CHECKING:
    from isrbench.harness.severity.clip import SeverityEstimator

HEAD_WIDTH = 64
"""Hidden channels of the discriminator's heads."""


@dataclass(frozen=True)
class AdapterKind:
    """A method's adapter as the trainer sees it."""

    id: str
    """The method's id; written into the adapter file."""
    default: Any
    """Its default config: a frozen dataclass of JSON values that checks itself."""
    attach: Callable[..., Adapter]
    """``attach(unet, vae, config, seed)``."""
    routes: bool = True
    """Whether it reads the severity; a dense adapter trains without an estimator."""


def build_networks(config: TrainConfig, kind: AdapterKind, adapter_config: Any, accelerator: Accelerator) -> Networks:
    """Load the base, attach the regulariser, then the adapter, and put all of it on the device.

    Args:
        config: The run.
        kind: The adapter to attach.
        adapter_config: What it is attached with.
        accelerator: Knows the device and the precision.

    Raises:
        UserError: If the base, the estimator or LPIPS weights are missing, or the adapter does not fit the base.
    """
    frozen = load_frozen(config.base, config.prompt, config.negative_prompt)
    return assemble(frozen, config, kind, adapter_config, accelerator.device)


def assemble(
    frozen: Frozen, config: TrainConfig, kind: AdapterKind, adapter_config: Any, device: torch.device
) -> Networks:
    """Put everything around a base that is loaded; see :func:`build_networks`."""
    frozen = frozen.to(device)
    regulariser = Regulariser(frozen.unet, config.regulariser_rank, config.seed + 1)
    taps = FeatureTaps(frozen.unet)
    discriminator = Discriminator(tap_channels(frozen.unet), HEAD_WIDTH, config.seed + 2).to(device)
    adapter = kind.attach(frozen.unet, frozen.vae, adapter_config, config.seed)
    if config.checkpointing:
        recompute(frozen.unet)
    estimator = load_severity(config.estimator, device, config.logit_scale) if kind.routes else None
    if estimator and adapter_config.dims != len(DIMENSIONS):
        raise UserError(f"adapter.dims is {adapter_config.dims}", f"the estimator gives {len(DIMENSIONS)} dimensions")
    wants_lpips = config.losses.perceptual > 0 and config.losses.perceptual_kind == "lpips"
    return Networks(
        frozen=frozen,
        adapter=adapter,
        regulariser=regulariser,
        discriminator=discriminator,
        taps=taps,
        severity=estimator.estimate if estimator else None,
        estimator=estimator.fingerprint() if estimator else None,
        lpips=load_lpips(device) if wants_lpips else None,
        timestep=config.timestep,
        autocast=autocast(config, device),
    )


def recompute(unet: Any) -> None:
    """Have a UNet recompute its activations in the backward pass instead of keeping them."""
    unet.enable_gradient_checkpointing()
    # diffusers recomputes only in training mode; no layer of these UNets has dropout that would wake up.
    unet.train()


def autocast(config: TrainConfig, device: torch.device) -> Callable[[], AbstractContextManager]:
    """Return the context in which the networks compute: autocast to bfloat16 where the run asks for it."""
    return lambda: torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16")


def load_severity(name: str, device: torch.device, logit_scale: float | None) -> SeverityEstimator:
    """Load the severity estimator ``name``."""
    from isrbench.harness.severity.clip import load_estimator

    return load_estimator(name, str(device), logit_scale)
