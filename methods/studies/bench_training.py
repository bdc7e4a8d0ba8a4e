"""What a training step costs: mor against osediff, and one UNet in all parts against OSEDiff's three.

isrbench tools bench-training --size tiny
isrbench tools bench-training --size sd21 --device cuda --crop 512 --batch 1
isrbench tools bench-training --size sd21 --crop 64 --batch 1 --rounds 0      # memory only, 24 GiB will do

The published OSEDiff code keeps three UNets: generator, frozen teacher and regulariser. `osediff, 3 UNets` is
that arrangement around the same losses and the same VAE. All bases have random weights. Each candidate first makes
one step alone, whose memory is counted from the tensors that are really there; then all take turns (A B C A B C ...)
and ratios are medians over the rounds' own ratios.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from isrbench.harness.determinism import make_deterministic
from isrbench.harness.severity.estimator import get_estimator
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.adapter import Estimators
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.load import build_models, random_sd21
from isrbench.methods.onestep.base.tiny import UNET_CONFIG, VAE_CONFIG, tiny_base
from isrbench.methods.onestep.train.config import TrainConfig, parse_config
from isrbench.methods.onestep.train.data import Batch
from isrbench.methods.onestep.train.discriminator import Discriminator, FeatureTaps, tap_channels
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.networks import HEAD_WIDTH, assemble, for_training, recompute
from isrbench.methods.onestep.train.optimizers import make_optimizers
from isrbench.methods.onestep.train.regulariser import Regulariser
from isrbench.methods.onestep.train.step import Networks, run_micro_batch
from isrbench.methods.studies.tensor_peak import TensorPeak
from isrbench.methods.studies.variants import Variant, choose, paper_variants

log = logging.getLogger(__name__)

_MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """One candidate's training step."""

    candidate: str
    held_mib: float
    """Weights, gradients and optimizer states after a step, counted from the tensors themselves."""
    peak_mib: float
    """Most memory at once during a step, ``held_mib`` included; on CUDA the allocator's, elsewhere that of the tensors
    that PyTorch saw."""
    median_ms: float | None = None
    """Median time of a step; None where none was timed."""
    ratio: float | None = None
    """Median over the rounds of this candidate's time by the first one's in the same round."""


@dataclass
class Candidate:
    """One way to train, ready to step."""

    nets: Networks
    optimizers: dict[str, torch.optim.AdamW]
    config: TrainConfig
    batch: Batch

    def step(self) -> None:
        """Make one optimizer step of all three networks on the same batch; gradients are left where they are."""
        config, nets = self.config, self.nets
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        shape = nets.base.latent_shape(config.data.crop, config.data.crop)
        draws = draw(config.seed, self.batch.items, shape, config.losses, self.batch.hr.device)
        # The first step that all losses take part in.
        run_micro_batch(nets, config.losses, self.batch, draws, config.losses.gan_start, 1.0)
        for optimizer in self.optimizers.values():
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], config.optim.clip)
            optimizer.step()

    def tensors(self) -> list[Tensor]:
        """Return weights, buffers, gradients and optimizer states."""
        nets = self.nets
        models = (nets.base.unet, nets.base.vae, nets.discriminator)
        found = [t for m in models for t in (*m.parameters(), *m.buffers())]
        found += [p.grad for m in models for p in m.parameters() if p.grad is not None]
        states = [value for o in self.optimizers.values() for state in o.state.values() for value in state.values()]
        return found + [value for value in states if isinstance(value, Tensor)]


class ThreeUNets(nn.Module):
    """Three separate UNets behind one call; which of them answers follows the switches of adapter and regulariser."""

    def __init__(self, generator: Any, teacher: Any, regulariser: Any) -> None:
        super().__init__()
        self.unets = nn.ModuleDict({"generator": generator, "teacher": teacher, "regulariser": regulariser})
        self.config = generator.config
        self.part = "generator"

    def forward(self, *args: Any, **options: Any) -> Any:
        """Ask the UNet whose part it is."""
        return self.unets[self.part](*args, **options)

    @contextmanager
    def playing(self, part: str) -> Iterator[None]:
        """Let ``part`` answer inside the block."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before


class _SeparateAdapter:
    """The generator's adapter; switching it off asks the teacher instead."""

    def __init__(self, adapter: Any, unets: ThreeUNets) -> None:
        self._adapter, self._unets = adapter, unets

    def set_enabled(self, enabled: bool) -> None:
        self._unets.part = "generator" if enabled else "teacher"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)


class _SeparateRegulariser:
    """The regulariser on its own UNet, where it is always on."""

    def __init__(self, regulariser: Regulariser, unets: ThreeUNets) -> None:
        regulariser.switch(True)
        self._regulariser, self._unets = regulariser, unets

    def enabled(self) -> Any:
        return self._unets.playing("regulariser")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._regulariser, name)


def three_unets(base: DiffusionBase, config: TrainConfig, variant: Variant, device: torch.device) -> Networks:
    """Put what ``train.networks.assemble`` builds into OSEDiff's arrangement; one VAE serves all."""
    teacher = base.unet
    generator, own = copy.deepcopy(teacher), copy.deepcopy(teacher)
    regulariser = Regulariser(own, config.regulariser_rank, config.seed + 1)
    taps = FeatureTaps(teacher)
    adapter = variant.spec.attach(generator, base.vae, _adapter_config(variant), config.seed)
    if config.gradient_checkpointing:
        for model in (generator, teacher, own, base.vae):
            recompute(model)
    unets: Any = ThreeUNets(generator, teacher, own)
    positive, negative = base.text.pair("", "")
    return Networks(
        base=for_training(replace(base, unet=unets), config, device),
        positive=positive.to(device),
        negative=negative.to(device),
        adapter=_SeparateAdapter(adapter, unets),  # type: ignore[arg-type]
        regulariser=_SeparateRegulariser(regulariser, unets),  # type: ignore[arg-type]
        discriminator=Discriminator(tap_channels(teacher), HEAD_WIDTH, config.seed + 2).to(device),
        taps=taps,
        estimator=None,
        lpips=None,
        timestep=config.timestep,
    )


def build(
    size: str, name: str, config: TrainConfig, device: torch.device, estimators: Estimators = get_estimator
) -> Candidate:
    """Build the candidate ``name`` around a random base.

    Args:
        size: ``tiny`` or ``sd21``.
        name: One of ``CANDIDATES``.
        config: The training run whose step is made.
        device: Where.
        estimators: Where the severity estimator comes from.
    """
    (variant,) = choose(paper_variants(MoRConfig()), ["mor" if name == "mor" else "lora"])
    base = _random_base(size, device)
    if name.endswith("3 UNets"):
        nets = three_unets(base, config, variant, device)
    else:
        nets = assemble(base, config, variant.spec, _adapter_config(variant), device, estimators)
    generator = torch.Generator().manual_seed(0)
    sides = (config.data.crop, config.data.crop // 4, max(config.data.crop, config.data.severity_window) // 4)
    hr, lr, window = (torch.rand(config.batch, 3, side, side, generator=generator).to(device) for side in sides)
    batch = Batch(hr, lr, window, torch.arange(config.batch, device=device))
    return Candidate(nets, make_optimizers(nets, config.optim), config, batch)


def _adapter_config(variant: Variant) -> Any:
    """The variant's own sizes; what a preset adds (the spread of the routers' start) costs nothing."""
    return replace(variant.spec.default, **variant.fields)


def _random_base(size: str, device: torch.device) -> DiffusionBase:
    """A base with random weights."""
    torch.manual_seed(0)
    if size == "sd21":
        return random_sd21(str(device))
    return tiny_base(*build_models(VAE_CONFIG, UNET_CONFIG, str(device)))


def memory(candidate: Candidate) -> tuple[float, float]:
    """Return the bytes held after a step, and the most during the second one, when optimizer states are there."""
    candidate.step()
    held = sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in candidate.tensors()}.values())
    if candidate.batch.hr.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        candidate.step()
        return held, torch.cuda.max_memory_allocated()
    with TensorPeak(candidate.tensors()) as watch:
        candidate.step()
    return held, held + watch.peak


def bench(found: dict[str, Candidate], rounds: int) -> dict[str, list[float]]:
    """Time ``rounds`` steps of every candidate in turns, after one to warm up; seconds by name."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(rounds + 1):
        for name, candidate in found.items():
            _wait(candidate)
            start = time.perf_counter()
            candidate.step()
            _wait(candidate)
            if turn:
                times[name].append(time.perf_counter() - start)
    return times


def _wait(candidate: Candidate) -> None:
    if candidate.batch.hr.is_cuda:
        torch.cuda.synchronize(candidate.batch.hr.device)


CANDIDATES = ("osediff", "mor", "osediff, 3 UNets")


def main(argv: Sequence[str] | None = None, estimators: Estimators = get_estimator) -> int:
    """Run the bench and log a table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny", "sd21"), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--crop", type=int, help="side of the HR crops; unset = the preset's")
    parser.add_argument("--batch", type=int, help="images a step; unset = the preset's")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds; 0 = memory only")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)  # not the root: loading a CLIP model says a dozen lines there
    given = [f"{key}={value}" for key, value in (("data.crop", args.crop), ("batch", args.batch)) if value]
    if args.crop:
        given.append("data.severity_window=0")
    plain = ["losses.perceptual_kind=features", "estimator=tiny", 'data.folders=["random"]']
    config, _ = parse_config("osediff", ["--preset", args.size, *plain, *given])
    device = torch.device(args.device)
    make_deterministic(args.device)
    costs = []
    for name in CANDIDATES:
        held, peak = memory(build(args.size, name, config, device, estimators))
        costs.append(Cost(name, held / _MIB, peak / _MIB))
        log.info("%s: %.1f MiB held, %.1f MiB at most", name, costs[-1].held_mib, costs[-1].peak_mib)
        gc.collect()
    if args.rounds:
        times = bench({name: build(args.size, name, config, device, estimators) for name in CANDIDATES}, args.rounds)
        first = times[CANDIDATES[0]]
        for i, taken in enumerate(times.values()):
            ratio = statistics.median(mine / other for mine, other in zip(taken, first, strict=True))
            costs[i] = replace(costs[i], median_ms=1e3 * statistics.median(taken), ratio=ratio)
    _show(costs)
    if args.out:
        options = {name: str(value) for name, value in vars(args).items()}
        args.out.write_text(json.dumps({"options": options, "costs": [asdict(c) for c in costs]}, indent=1) + "\n")
    return 0


def _show(costs: Sequence[Cost]) -> None:
    titles = ("a training step", "held MiB", "/ 3", "peak MiB", "/ 3", "ms", "/ osediff")
    log.info("\n%-18s %10s %8s %10s %8s %9s %9s", *titles)
    three = costs[-1]
    for c in costs:
        timed = f"{c.median_ms:9.1f} {c.ratio:9.3f}" if c.median_ms is not None and c.ratio is not None else ""
        shares = (c.held_mib, c.held_mib / three.held_mib, c.peak_mib, c.peak_mib / three.peak_mib)
        log.info("%-18s %10.1f %8.3f %10.1f %8.3f %s", c.candidate, *shares, timed)


if __name__ == "__main__":
    raise SystemExit(main())
