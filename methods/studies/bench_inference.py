"""What an adapter costs at inference: MoR folded, gathered and masked, a dense LoRA merged and not, and the bare base.

isrbench tools bench-inference --size tiny --device cpu --pixels 512
isrbench tools bench-inference --size sd21 --device cuda --dtype fp16 --pixels 512 2048 --out bench.json

One run = route, encode, one UNet step, x0, decode, with random weights. The candidates take turns (A B C A B C ...), so
that a machine that warms up or is disturbed touches all alike; ratios are medians over the rounds' own ratios. All
share one set of base weights but the merged LoRA, which needs its own. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, LoraModel, inject_adapter_in_model
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from isrbench.harness.api.options import positive
from isrbench.harness.determinism import make_deterministic
from isrbench.methods.mor.adapter import MoRAdapter, attach
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.mor.layers import Execution
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.load import DTYPES, build_models, random_sd21
from isrbench.methods.onestep.base.targets import unet_targets, vae_targets
from isrbench.methods.onestep.base.tiny import UNET_CONFIG, VAE_CONFIG, tiny_base
from isrbench.methods.studies.tensor_peak import TensorPeak

log = logging.getLogger(__name__)

_TIMESTEP = 999
_TILE, _OVERLAP = 96, 32  # latents, as OSEDiff tiles
_MIB = 2**20


@dataclass(frozen=True)
class Candidate:
    """One way to run the base."""

    name: str
    base: DiffusionBase
    route: Callable[[], object]
    """What has to be done once per image before the networks run."""
    forget: Callable[[], object] = lambda: None
    """Free what ``route`` keeps."""


@dataclass(frozen=True)
class Cost:
    """One candidate at one size."""

    candidate: str
    pixels: int
    """Side of the square output."""
    median_ms: float
    """Median time of one run, routing included."""
    route_ms: float
    """Median time of the routing alone (with folding, where it folds)."""
    to_base: float
    """Median over the rounds of this candidate's time by the bare base's in the same round."""
    to_merged: float
    """Likewise by the merged dense LoRA's."""
    peak_mib: float
    """Most memory at once: weights and tensors; on CUDA the allocator's, elsewhere that of tensors that PyTorch saw."""
    gmacs: float
    """Multiply-accumulates counted in one run, routing included, in 10^9."""


def candidates(size: str, device: torch.device, dtype: torch.dtype, rank: int, severity: Tensor) -> list[Candidate]:
    """Build all candidates around one base with random weights.

    Args:
        size: ``tiny`` or ``sd21``.
        device: Where to run.
        dtype: Of the base and the dense LoRA; the ranks stay float32, as in inference.
        rank: Of the dense LoRA.
        severity: (B, 7), one row per image. Folding needs B = 1 and is left out otherwise.
    """
    torch.manual_seed(0)
    base = _random_base(size, device, dtype)
    vae, unet = base.vae, base.unet
    routed = replace(base, vae=_sharing(vae), unet=_sharing(unet))
    adapter = attach(routed.unet, routed.vae, MoRConfig(router_std=1.0), seed=0)
    for name, parameter in adapter.parameters().items():
        if name.endswith(".B"):
            nn.init.normal_(parameter, std=1e-3)
    found = [Candidate("base", base, lambda: None)]
    executions: tuple[Execution, ...] = ("folded", "gathered", "masked")
    for execution in executions[len(severity) > 1 :]:
        route, forget = _routing(adapter, execution, severity)
        found.append(Candidate(f"mor {execution}", routed, route, forget))
    loras = {
        "unet": (unet, LoraConfig(r=rank, target_modules=unet_targets(unet))),
        "vae": (vae, LoraConfig(r=rank, target_modules=vae_targets(vae))),
    }
    apart: dict[str, Any] = {
        part: inject_adapter_in_model(config, _sharing(model)).to(dtype) for part, (model, config) in loras.items()
    }
    merged: dict[str, Any] = {
        part: LoraModel(copy.deepcopy(model), config, "default").merge_and_unload()
        for part, (model, config) in loras.items()
    }
    found.append(Candidate(f"lora r{rank} merged", replace(base, **merged), lambda: None))
    found.append(Candidate(f"lora r{rank} unmerged", replace(base, **apart), lambda: None))
    return found


def bench(found: Sequence[Candidate], pixels: int, rounds: int, batch: int) -> list[Cost]:
    """Measure all candidates at one size, in turns.

    Args:
        found: What :func:`candidates` built.
        pixels: Side of the square output.
        rounds: Timed rounds after one warm-up.
        batch: Images at once.
    """
    base = found[0].base
    image = torch.rand(batch, 3, pixels, pixels).to(base.device, base.dtype)
    embedding = torch.randn(batch, 77, base.unet.config["cross_attention_dim"]).to(base.device, base.dtype)
    still = {c.name: _still(c, image, embedding) for c in found}
    times: dict[str, list[tuple[float, float]]] = {c.name: [] for c in found}
    for turn in range(rounds + 1):
        for candidate in found:
            taken = _time(candidate, image, embedding)
            if turn:
                times[candidate.name].append(taken)
    merged = next(c.name for c in found if c.name.endswith(" merged"))
    return [
        Cost(
            candidate=name,
            pixels=pixels,
            median_ms=1e3 * statistics.median(whole for _, whole in taken),
            route_ms=1e3 * statistics.median(route for route, _ in taken),
            to_base=_ratio(taken, times["base"]),
            to_merged=_ratio(taken, times[merged]),
            peak_mib=still[name][0] / _MIB,
            gmacs=still[name][1] / 1e9,
        )
        for name, taken in times.items()
    ]


@torch.no_grad()
def run_once(candidate: Candidate, image: Tensor, embedding: Tensor) -> Tensor:
    """Restore a batch (B, 3, H, W); large latents go through the UNet in OSEDiff's tiles."""
    base = candidate.base
    return base.decode(base.one_step(image, _TIMESTEP, embedding, tile=_TILE, overlap=_OVERLAP))


def _still(candidate: Candidate, image: Tensor, embedding: Tensor) -> tuple[float, float]:
    """Peak bytes and MACs of one run; both are the same every time."""
    candidate.forget()
    own = [t for m in (candidate.base.unet, candidate.base.vae) for t in (*m.parameters(), *m.buffers())]
    weights = sum(tensor.numel() * tensor.element_size() for tensor in {id(t): t for t in own}.values())
    if image.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        candidate.route()
        run_once(candidate, image, embedding)
        peak = torch.cuda.max_memory_allocated() - before
    else:
        with TensorPeak([*own, image, embedding]) as watch:
            candidate.route()
            run_once(candidate, image, embedding)
        peak = watch.peak
    candidate.forget()
    # The counter knows a GPU's fused attention; of a CPU's it knows the plain one only.
    countable = nullcontext() if image.is_cuda else sdpa_kernel([SDPBackend.MATH])
    with FlopCounterMode(display=False) as counter, countable:
        candidate.route()
        run_once(candidate, image, embedding)
    return float(weights + peak), counter.get_total_flops() / 2


def _time(candidate: Candidate, image: Tensor, embedding: Tensor) -> tuple[float, float]:
    _wait(image)
    start = time.perf_counter()
    candidate.route()
    _wait(image)
    routed = time.perf_counter()
    run_once(candidate, image, embedding)
    _wait(image)
    return routed - start, time.perf_counter() - start


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def _ratio(taken: list[tuple[float, float]], others: list[tuple[float, float]]) -> float:
    return statistics.median(mine / other for (_, mine), (_, other) in zip(taken, others, strict=True))


def _routing(
    adapter: MoRAdapter, execution: Execution, severity: Tensor
) -> tuple[Callable[[], None], Callable[[], None]]:
    @torch.no_grad()
    def route() -> None:
        if adapter.execution != execution:
            adapter.run_as(execution)
        adapter.route(severity)

    return route, lambda: adapter.run_as(execution)


def _random_base(size: str, device: torch.device, dtype: torch.dtype) -> DiffusionBase:
    if size == "sd21":
        base = random_sd21(str(device))
    else:
        base = tiny_base(*build_models(VAE_CONFIG, UNET_CONFIG, str(device)))
    return replace(base, vae=base.vae.to(dtype), unet=base.unet.to(dtype), abar=base.abar.to(device))


def _sharing(model: nn.Module) -> Any:
    """Copy a model's modules around the very same weights."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench and log a table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="isrbench tools bench-inference", description=__doc__)
    parser.add_argument("--size", choices=("tiny", "sd21"), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="fp32")
    parser.add_argument("--pixels", type=int, nargs="+", default=[512], help="sides of the square outputs")
    parser.add_argument("--rounds", type=positive, default=20)
    parser.add_argument(
        "--batch", type=positive, default=1, help="more than one image: routings differ, folding is left out"
    )
    parser.add_argument("--rank", type=int, default=16, help="of the dense LoRA; 16 is MoR's active budget")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = PyTorch's choice")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    given = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    if given.threads:
        torch.set_num_threads(given.threads)
    make_deterministic(given.device)
    severity = torch.rand(given.batch, 7, generator=torch.Generator().manual_seed(0))
    found = candidates(given.size, torch.device(given.device), DTYPES[given.dtype], given.rank, severity)
    costs = [cost for pixels in given.pixels for cost in bench(found, pixels, given.rounds, given.batch)]
    log.info(
        "%-22s %6s %10s %9s %8s %9s %10s %9s",
        "candidate",
        "pixels",
        "ms",
        "route ms",
        "/ base",
        "/ merged",
        "MiB",
        "GMACs",
    )
    for c in costs:
        numbers = (c.median_ms, c.route_ms, c.to_base, c.to_merged, c.peak_mib, c.gmacs)
        log.info("%-22s %6d %10.2f %9.2f %8.3f %9.3f %10.1f %9.2f", c.candidate, c.pixels, *numbers)
    if given.out:
        options = {name: str(value) for name, value in vars(given).items()}
        given.out.write_text(json.dumps({"options": options, "costs": [asdict(cost) for cost in costs]}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
