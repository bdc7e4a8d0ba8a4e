"""The optimizers of the three networks, their learning rates over a run, and one step of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from isrbench.methods.onestep.train.config import Optim
from isrbench.methods.onestep.train.loss_scale import LossScale
from isrbench.methods.onestep.train.processes import average_gradients
from isrbench.methods.onestep.train.step import Networks


def make_optimizers(nets: Networks, optim: Optim) -> dict[str, torch.optim.AdamW]:
    """Make the optimizers of ``regulariser``, ``generator`` and ``discriminator``, stepped in this order."""
    named = nets.adapter.parameters()
    groups: dict[str, list[dict[str, Any]]] = {
        "regulariser": [_group(nets.regulariser.parameters().values(), optim.lr_regulariser)],
        "generator": [
            _group([p for name, p in named.items() if not name.startswith("router.")], optim.lr),
            _group([p for name, p in named.items() if name.startswith("router.")], optim.lr * optim.router_factor),
        ],
        "discriminator": [_group(nets.discriminator.parameters(), optim.lr_discriminator)],
    }
    return {
        name: torch.optim.AdamW([g for g in parts if g["params"]], betas=optim.betas, weight_decay=optim.weight_decay)
        for name, parts in groups.items()
    }


def _group(parameters: Iterable[nn.Parameter], lr: float) -> dict[str, Any]:
    return {"params": list(parameters), "lr": lr, "peak_lr": lr}


def learning_rate_factor(optim: Optim, step: int, steps: int) -> float:
    """Return the factor on every learning rate at ``step``: linear warm-up, then constant or a cosine to zero."""
    if step < optim.warmup:
        return (step + 1) / optim.warmup
    if optim.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - optim.warmup) / max(1, steps - optim.warmup)))


def step_together(
    optimizers: Mapping[str, torch.optim.Optimizer], accelerator: Accelerator, clip: float, factor: float, fit: bool,
    scale: LossScale | None = None,
) -> list[str]:  # fmt: skip
    """Make one step of all optimizers, or of none; their gradients are used up either way.

    Every process decides alike: from gradients that are averaged, and from ``fit``.

    Args:
        optimizers: By network; a network without gradients is left alone.
        accelerator: The group of processes.
        clip: Largest norm of each network's gradient.
        factor: On every learning rate.
        fit: False = the step has to be skipped whatever the gradients are.
        scale: What the losses were multiplied by; it takes in whether the step was made.

    Returns:
        The networks whose gradient is not finite; with one, or not ``fit``, neither weights nor optimizers changed.
    """
    wrong = []
    for name, optimizer in optimizers.items():
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        average_gradients(accelerator, parameters)
        if scale:
            scale.unscale(parameters)
        if not math.isfinite(float(nn.utils.clip_grad_norm_(parameters, clip))):
            wrong.append(name)
    if scale:
        scale.update(fit and not wrong)
    for optimizer in optimizers.values():
        if fit and not wrong:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return wrong
