"""One stage of the tiny base's pretraining: how it runs, resumes and writes its curve."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from isrbench.harness.errors import UserError, foreign
from isrbench.harness.identity import tensors_hash
from isrbench.methods.onestep.train.curves import cut_curves, write_curve

log = logging.getLogger(__name__)

CURVE_EVERY = 50
"""Steps whose losses' means are one row of the curve."""


@dataclass(frozen=True)
class Stage:
    """How one stage runs."""

    data: list[Path]
    """Folders of training photos."""
    out: Path
    """Where weights, curves and the state to resume from go."""
    steps: int
    seed: int
    lr: float
    """Peak learning rate; warms up over 100 steps, then falls as a cosine to zero."""
    batch: int
    bf16: bool
    """Autocast to bfloat16 (faster on CPUs that have it); weights stay float32."""
    compiled: bool = False
    """Let torch compile UNet and decoder: faster steps, where a C++ compiler is at hand."""
    device: str = "cpu"
    """Torch device string."""
    workers: int = 0
    """Processes that make the training pairs; they never change the result."""
    save_every: int = 100
    """Steps between two states on disk."""


Losses = dict[str, Tensor]


def fit(stage: Stage, name: str, model: nn.Module, step_losses: Callable[[int], Losses]) -> None:
    """Run the stage's steps on ``model``; continues from ``out/name.state`` where there is one that began alike.

    Args:
        stage: Steps, rates and places.
        name: The stage's name, used in file names.
        model: What is trained, with Adam.
        step_losses: ``step_losses(step)`` gives the losses of one step; the entry ``loss`` is minimised.

    Raises:
        UserError: If the state began with other weights, or is further than ``stage.steps``.
    """
    began = tensors_hash(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.lr, weight_decay=0.0, betas=(0.9, 0.99))
    first = _resume(stage.out / f"{name}.state", model, optimizer, began, stage.steps)
    cut_curves(stage.out / f"{name}.csv", first)
    model.train()
    started, sums, summed = time.monotonic(), {}, 0
    for step in range(first, stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.lr * schedule(step, stage.steps)
        with torch.autocast(torch.device(stage.device).type, torch.bfloat16, enabled=stage.bf16):
            losses = step_losses(step)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + value.detach().double()
        summed += 1
        if (step + 1) % CURVE_EVERY == 0:
            means = {key: float(total) / summed for key, total in sums.items()}
            means["seconds"] = time.monotonic() - started
            write_curve(stage.out / f"{name}.csv", step + 1, means)
            log.info("%s %d/%d %s", name, step + 1, stage.steps, " ".join(f"{k} {v:.4f}" for k, v in means.items()))
            sums, summed = {}, 0
        if (step + 1) % stage.save_every == 0 or step + 1 == stage.steps:
            state = {
                "model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1, "began": began,
            }  # fmt: skip
            torch.save(state, stage.out / f"{name}.tmp")
            (stage.out / f"{name}.tmp").replace(stage.out / f"{name}.state")
    model.eval()


def schedule(step: int, steps: int, warmup: int = 100) -> float:
    """Return the factor of the learning rate at ``step``: linear warm-up, then a cosine down to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, began: str, steps: int) -> int:
    if not path.exists():
        return 0
    with foreign(f"{path} cannot be read", "remove it, and the stage begins again"):
        state = torch.load(path, weights_only=True)
        _ = state["began"], state["step"], state["model"], state["optimizer"]
    if state["began"] != began:
        raise UserError(f"{path} belongs to a stage that began with other weights", "give another --out, or remove it")
    if state["step"] > steps:
        raise UserError(
            f"{path} is at step {state['step']}, beyond --steps {steps}", "give more steps or another --out"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]
