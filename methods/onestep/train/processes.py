"""One training run on several processes: their group, and sums and means over it."""

from __future__ import annotations

from datetime import timedelta

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train.config import TrainConfig


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Join the processes that were started together (see launch.py); without any, this one is alone.

    Args:
        config: Says device, dtype, trackers and the folder that these write in.

    Raises:
        UserError: If a tracker is not installed.
    """
    # accelerate keeps the first run's dtype and device for the whole process, and another run may have its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        mixed_precision="bf16" if config.dtype == "bf16" else "no",
        cpu=config.device == "cpu" or not torch.cuda.is_available(),  # accelerate groups processes on CPUs when told so
        log_with=list(config.trackers) or None,
        project_dir=config.out,
        # The others wait while the first one loads metrics and validates, which may fetch weights.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=2))],
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


def sum_over_processes(accelerator: Accelerator, tensor: Tensor) -> Tensor:
    """Return the sum of every process's ``tensor``, each of the same shape."""
    return accelerator.reduce(tensor, "sum")  # type: ignore[return-value]


def average_gradients(accelerator: Accelerator, parameters: list[nn.Parameter]) -> None:
    """Average over the processes. By hand: the UNet plays several parts, which a DDP wrapper does not allow.

    Args:
        accelerator: The group.
        parameters: Whose ``grad`` is replaced. No gradient counts as zero, and where no process has one it stays none,
            so that the optimizer leaves the parameter alone as it does on one process.
    """
    if accelerator.num_processes == 1:
        return
    has = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    own = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
    flat = mean_over_processes(accelerator, torch.cat([has, *own]))
    has, *means = flat.split([len(parameters), *(p.numel() for p in parameters)])
    for parameter, one_has, mean in zip(parameters, has.tolist(), means, strict=True):
        parameter.grad = mean.view_as(parameter).clone() if one_has else None
