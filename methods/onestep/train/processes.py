"""One training run on several processes: their group, and means over it."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train.config import TrainConfig


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Join the processes that ``accelerate launch`` started; without it, this one is alone.

    Args:
        config: Says device, dtype, trackers and the folder that these write in.

    Raises:
        UserError: If a tracker is not installed.
    """
    accelerator = Accelerator(
        mixed_precision="bf16" if config.dtype == "bf16" else "no",
        cpu=config.device == "cpu",
        log_with=list(config.trackers) or None,
        project_dir=config.out,
    )
    if len(accelerator.log_with) < len(config.trackers):  # accelerate drops in silence what is not installed
        raise UserError(
            f"not all of the trackers {', '.join(config.trackers)} are installed",
            'pip install -c constraints.txt ".[trackers]", or leave trackers out',
        )
    return accelerator


def mean_over_processes(accelerator: Accelerator, tensor: Tensor) -> Tensor:
    """Return the mean of every process's ``tensor``, each of the same shape."""
    return accelerator.reduce(tensor, "mean")  # type: ignore[return-value]


def average_gradients(accelerator: Accelerator, parameters: list[nn.Parameter]) -> None:
    """Average over the processes. By hand: the UNet plays several parts, which a DDP wrapper does not allow.

    Args:
        accelerator: The group.
        parameters: Whose ``grad`` is replaced; one that has none counts as zero.
    """
    if accelerator.num_processes == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = mean_over_processes(accelerator, torch.cat([p.grad.flatten() for p in parameters]))  # type: ignore[union-attr]
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).clone()
