"""Train the adapter of any one-step method on its frozen base.

isrbench train --method mor --preset tiny --data BSDS500/train BSDS500/val --validation BSDS500/test --out runs/mor
isrbench train --method mor --preset sd21 --data LSDIR FFHQ:10000 --out runs/mor  (launch.py: a process for each GPU)

Every optimizer step takes the next items of the run (see data.py), adds up three networks' gradients over its
micro-batches (see step.py), and then updates regulariser, generator and discriminator. A step with a loss or a gradient
that is not finite is skipped. The result depends on `global_batch`, not on how a step is split over processes and
micro-batches (see split.py), but for the rounding of sums. `curves.csv` holds every loss;
`adapter.safetensors` is the result; `states/` is what --resume continues from, bit-exactly on a CPU.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isrbench.harness.determinism import make_deterministic
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.severity.estimator import get_estimator
from isrbench.methods.onestep.adapter import AdapterSpec, Estimators
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, save_adapter
from isrbench.methods.onestep.train.best import Best
from isrbench.methods.onestep.train.config import TrainConfig, parse_config
from isrbench.methods.onestep.train.curves import Tally, cut_curves, write_curve
from isrbench.methods.onestep.train.data import Batch, check_photos, open_loader
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.ema import RunningMean
from isrbench.methods.onestep.train.loss_scale import LossScale, loss_scale_of
from isrbench.methods.onestep.train.networks import adapter_config, build_networks
from isrbench.methods.onestep.train.note import note_severities
from isrbench.methods.onestep.train.optimizers import learning_rate_factor, make_optimizers, step_together
from isrbench.methods.onestep.train.processes import make_accelerator, mean_over_processes, sum_over_processes
from isrbench.methods.onestep.train.provenance import provenance, resumed_by
from isrbench.methods.onestep.train.split import item_numbers, split
from isrbench.methods.onestep.train.state import (
    ADAPTER,
    BEST,
    WITHOUT_IT,
    disk_errors_are_clear,
    last_state,
    load_state,
    save_state,
    state_to_resume,
)
from isrbench.methods.onestep.train.step import run_micro_batch
from isrbench.methods.onestep.train.validate import Validator

log = logging.getLogger(__name__)


def train(argv: Sequence[str], spec: AdapterSpec) -> int:
    """Train an adapter as a command line says; what a method's plugin offers as ``train``.

    Args:
        argv: See :func:`isrbench.methods.onestep.train.config.parse_config`.
        spec: The adapter to train.

    Returns:
        0 when all steps are done.

    Raises:
        UserError: If an option, the data, the base or the state to resume from does not fit, if losses stay not
            finite, or if the run's folder cannot be written; the last good state is kept.
    """
    config, resume = parse_config(spec.id, argv)
    with disk_errors_are_clear(config.out):
        Run(config, spec, resume).loop()
    return 0


class Run:
    """One process of a training run, often the only one.

    Args:
        config: What to do.
        spec: The adapter to train.
        resume: Continue from the last state in ``config.out``.
        estimators: Where the severity estimator comes from.
    """

    def __init__(
        self, config: TrainConfig, spec: AdapterSpec, resume: bool, estimators: Estimators = get_estimator
    ) -> None:
        self.config, self.spec = config, spec
        self._states, self._curves = config.out / "states", config.out / "curves.csv"
        self._adapter, self._best = config.out / ADAPTER, config.out / BEST
        self._dtype = torch.float16 if config.half else None
        last = state_to_resume(self._states, self._adapter, resume)
        self.accelerator = make_accelerator(config)
        if config.threads:
            torch.set_num_threads(config.threads)
        if config.processes not in (0, self.accelerator.num_processes):
            raise UserError(
                f"processes={config.processes}, but {self.accelerator.num_processes} were started together",
                "start them with isrbench train --processes N, or leave processes out",
            )
        self.split = split(config.global_batch, config.batch, self.accelerator.num_processes)
        if config.routed_by == "next" and self.split.batch < 2:
            raise UserError(
                "routed_by=next needs two images in a micro-batch", "set batch and global_batch to 2 or more"
            )
        make_deterministic(str(self.accelerator.device))
        torch.manual_seed(config.seed)
        self.photos = check_photos(config.data)
        self.adapter_config = adapter_config(spec, config.adapter)
        self.nets = build_networks(config, spec, self.adapter_config, self.accelerator.device, estimators)
        self.latent = self.nets.base.latent_shape(config.data.crop, config.data.crop)
        self.optimizers = make_optimizers(self.nets, config.optim)
        self.mean = RunningMean(self.nets.adapter, config.optim.ema)
        self.scale = loss_scale_of(config.dtype)
        self.tally = Tally()
        self.best: Best | None = None
        self.step = 0
        self._begin(last)

    def loop(self) -> None:
        """Run all remaining steps, validating, saving and logging on the way.

        Raises:
            UserError: If a photo cannot be read, or more than ``optim.max_skipped`` steps in a row have a loss or a
                gradient that is not finite.
        """
        config, accelerator = self.config, self.accelerator
        numbers = item_numbers(self.step, config.steps, self.split, accelerator.process_index)
        loader = open_loader(config.data, config.seed, self.split.batch, numbers)
        validator = self._validator()
        if self.step == 0 and self.nets.estimator and accelerator.is_main_process:
            note_severities(config, self.nets.estimator, accelerator.device)
        started, first = time.monotonic(), self.step
        while self.step < config.steps:
            batches = [next(loader) for _ in range(self.split.accumulate)]
            self._update(self._add_gradients(batches))
            self.step += 1
            if self.step % config.log_every == 0:
                self._log(self.tally.row(), (time.monotonic() - started) / (self.step - first))
            last = self.step == config.steps
            if validator and (last or self.step % config.validation.every == 0):
                self._validate(validator)
            # Between skipped steps nothing is saved: were the weights to blame, good states would give way to bad ones.
            if last or (self.step % config.save_every == 0 and not self.tally.in_a_row):
                self._save()
        accelerator.wait_for_everyone()
        if config.trackers:
            accelerator.end_training()
        base = "" if config.base == "tiny" else f" -o base={config.base}"
        base += " -o prompts=tags" if config.data.prompts else ""
        log.info(
            "%s: trained %s\ntry it: isrbench eval --method %s%s -o adapter=%s --dataset sample --name mine",
            self.spec.id, self._adapter, self.spec.id, base, self._adapter,
        )  # fmt: skip

    def _add_gradients(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Run one step's micro-batches forward and backward; returns the losses' means over all processes."""
        config, nets, device, share = self.config, self.nets, self.accelerator.device, 1 / len(batches)
        # Routing needs severities only, so the load of the whole step is known before its first micro-batch runs.
        severities = [nets.severity(batch.severity_window.to(device)) for batch in batches]
        hits = self._hits(severities)
        factor = self.scale.value if self.scale else 1.0
        values: dict[str, Tensor] = {}
        for batch, severity in zip(batches, severities, strict=True):
            draws = draw(config.seed, batch.items, self.latent, config.losses, device)
            batch = Batch(*(part.to(device) for part in batch))
            part = run_micro_batch(nets, config.losses, batch, draws, self.step, share * factor, severity, hits)
            for name, value in part.items():
                values[name] = values.get(name, 0) + value * share
        means = mean_over_processes(self.accelerator, torch.stack(list(values.values())))
        return dict(zip(values, means.tolist(), strict=True))

    def _hits(self, severities: Sequence[Tensor | None]) -> Tensor | None:
        """Return how many images of the whole step, over all processes, pick each routing target."""
        own = [hits for severity in severities if (hits := self.nets.adapter.hits(severity)) is not None]
        return sum_over_processes(self.accelerator, torch.stack(own).sum(0)) if own else None

    def _update(self, losses: dict[str, float]) -> None:
        """Let the three optimizers step and the mean follow; or skip the step where something is not finite.

        Raises:
            UserError: If too many steps in a row are skipped.
        """
        wrong = [name for name, value in losses.items() if not math.isfinite(value)]
        optim, factor = self.config.optim, learning_rate_factor(self.config.optim, self.step, self.config.steps)
        networks = step_together(self.optimizers, self.accelerator, optim.clip, factor, not wrong, self.scale)
        wrong += [f"gradient of the {name}" for name in networks]
        if not wrong:
            self.mean.update(self.step)
            self.tally.add(losses)
            return
        self.tally.skip()
        problem = f"step {self.step + 1}: not finite: {', '.join(wrong)}"
        if self.tally.in_a_row > optim.max_skipped:
            raise UserError(
                f"{problem}; {self.tally.in_a_row} such steps in a row. The last good state is "
                f"{last_state(self._states) or 'none'}",
                "train with a lower optim.lr or dtype=fp32, and another --out",
            )
        log.warning("%s; skipped", problem)

    def _validator(self) -> Validator | None:
        if not self.accelerator.is_main_process or not self.config.validation.any:
            return None
        validator = Validator(self.config, self.spec, self.nets, self.checkpoint())
        if self.step == 0:
            self._curve(validator.baseline())
        return validator

    def _validate(self, validator: Validator) -> None:
        with self.mean.applied():
            values = validator.run(self.checkpoint(), self.step)
        self._curve(values)
        better = validator.criterion.better(values, self.best) if validator.criterion else None
        if better is not None:
            self.best = Best(better, self.step, self.mean.state_dict())
            save_adapter(self._best, self.checkpoint(self.best), self._dtype)

    def _begin(self, last: Path | None) -> None:
        if last:
            state = load_state(last, resumed_by(self))
            with foreign(f"{last} is damaged", WITHOUT_IT):
                self._load(state)
            if self.best and self.accelerator.is_main_process:  # its file may be of a later step, which is done again
                save_adapter(self._best, self.checkpoint(self.best), self._dtype)
        if self.accelerator.is_main_process:
            self.config.out.mkdir(parents=True, exist_ok=True)
            (self.config.out / "config.json").write_text(self.config.model_dump_json(indent=2) + "\n")
            cut_curves(self._curves, self.step if last else -1)
        if self.config.trackers:
            self.accelerator.init_trackers("isrbench")
        self.accelerator.wait_for_everyone()
        log.info(
            "%s: step %d of %d, %d images a step = %s, %s",
            self.spec.id, self.step, self.config.steps, self.config.global_batch, self.split, self.config.out,
        )  # fmt: skip

    def _load(self, state: dict[str, Any]) -> None:
        self.nets.adapter.load_state_dict(state["adapter"])
        self.nets.regulariser.load_state_dict(state["regulariser"])
        self.nets.discriminator.load_state_dict(state["discriminator"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.mean.load_state_dict(state["mean"])
        self.tally, self.step = Tally(**state["tally"]), state["step"]
        self.scale = LossScale(**state["loss_scale"]) if state["loss_scale"] else None
        self.best = Best(**state["best"]) if state.get("best") else None

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        nets, config = self.nets, self.config
        state = {
            "config": resumed_by(self),
            "step": self.step,
            "adapter": nets.adapter.state_dict(),
            "regulariser": nets.regulariser.state_dict(),
            "discriminator": nets.discriminator.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "mean": self.mean.state_dict(),
            "tally": asdict(self.tally),
            "loss_scale": asdict(self.scale) if self.scale else None,
            "best": vars(self.best) if self.best else None,
        }
        # The result first: with the state there, a stopped process would not come back to write it.
        save_adapter(self._adapter, self.checkpoint(), self._dtype)
        save_state(self._states, self.step, state, config.keep)

    def checkpoint(self, best: Best | None = None) -> AdapterCheckpoint:
        """Return the adapter as it is saved now, or the best one."""
        own = (asdict(self.adapter_config), self.nets.base.base_hash, best.state if best else self.mean.state_dict())
        return AdapterCheckpoint(self.spec.id, *own, provenance(self, best), self.config.timestep)

    def _log(self, means: dict[str, float], seconds: float) -> None:
        text = " ".join(f"{name} {value:.4g}" for name, value in means.items())
        log.info("%d/%d %s (%.2f s/step)", self.step, self.config.steps, text, seconds)
        self._curve(means)

    def _curve(self, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        write_curve(self._curves, self.step, values)
        if self.config.trackers:
            self.accelerator.log(values, step=self.step)
