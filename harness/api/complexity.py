"""What restoring one image costs: MACs and FLOPs counted, parameters counted, time and memory measured."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

WARM_UP = 2
"""Restorations before the clock starts."""
RUNS = 5
"""Timed restorations; the median counts."""
_SAMPLE_SECONDS = 0.002


@dataclass(frozen=True)
class Measured:
    """Time and memory of ``restore`` for one image, as seen on this machine."""

    latency_ms: float
    """Median wall-clock milliseconds of one call: between CUDA events on a GPU, by ``perf_counter`` elsewhere."""
    peak_mib: float | None
    """MiB of memory. On a GPU: the most that torch had allocated there, weights included. On the CPU: how far the
    process's resident set rose above what it was before the first call (weights already loaded are not in it, and
    memory that an earlier image left with the process hides growth, so it is a lower bound); None off Linux."""
    runs: int
    """Calls behind the median."""


def count_macs(call: Callable[[], object]) -> int:
    """Count the multiply-accumulates of one call by torch's FlopCounterMode.

    Convolutions, matrix products and scaled-dot-product attention count; normalisations, activations, sums and
    resampling do not, as is usual in the field. Works on the meta device, where nothing is computed. Attention takes
    its plain path meanwhile: the counter does not see into the fused one that torch takes in evaluation.

    Args:
        call: Runs the forward pass once. Nothing else in the process may run attention meanwhile.

    Returns:
        MACs; torch counts two FLOPs for each.

    Raises:
        UserError: If a module ran that multiplies by its weights and none of its work was counted: by an operation
            that the counter has no formula for (an LSTM on the CPU, a custom kernel), or outside of torch.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from isrbench.harness.api.uncounted import watch

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        counter = FlopCounterMode(display=False)
        with watch(counter.get_total_flops) as uncounted, counter, torch.no_grad():
            call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    if uncounted:
        raise UserError(
            f"the MACs cannot be counted: {', '.join(uncounted)} ran, and torch's counter saw none of the work",
            "state MACs from another source, or count a network made of torch's own convolutions and matrix products",
        )
    return counter.get_total_flops() // 2


def count_parameters(*modules: nn.Module) -> tuple[int, int]:
    """Return the modules' (total, trainable) parameters together; a tensor that several share counts once."""
    parameters = {id(p): p for module in modules for p in module.parameters()}.values()
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def measure(
    restore: Callable[[Tensor], object],
    height: int,
    width: int,
    device: str,
    *,
    warm_up: int = WARM_UP,
    runs: int = RUNS,
) -> Measured:
    """Time ``restore`` on noise LR images of ``height`` x ``width`` pixels.

    Every call gets another image, as in a run: what a method keeps from one image to the next, such as a folded weight,
    must not look free.

    Args:
        restore: Takes float32 (3, height, width) in [0, 1] on the CPU.
        height: LR pixels.
        width: LR pixels.
        device: Torch device string that the method runs on.
        warm_up: Calls before the clock starts.
        runs: Timed calls.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    images = iter([torch.rand(3, height, width, generator=generator) for _ in range(warm_up + runs)])

    def call() -> None:
        restore(next(images))

    if torch.device(device).type == "cuda":
        return _measure_cuda(call, device, warm_up, runs)
    memory = _ResidentSet()
    with memory:
        for _ in range(warm_up):
            call()
        times = [_seconds(call) for _ in range(runs)]
    return Measured(statistics.median(times) * 1000, memory.growth_mib, runs)


def _measure_cuda(restore: Callable[[], None], device: str, warm_up: int, runs: int) -> Measured:
    import torch

    with torch.cuda.device(torch.device(device)):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(warm_up):
            restore()
        times = []
        for _ in range(runs):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            restore()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        return Measured(statistics.median(times), torch.cuda.max_memory_allocated() / 2**20, runs)


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class _ResidentSet:
    """Watches this process's resident set from a thread while the ``with`` block runs."""

    def __init__(self) -> None:
        self._before = self._peak = 0
        self._stop = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="isrbench-memory", daemon=True)

    def __enter__(self) -> None:
        self._before = self._peak = _resident_bytes() or 0
        self._watching.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._watching.join()

    @property
    def growth_mib(self) -> float | None:
        """MiB above the start, or None where the system does not say."""
        return (self._peak - self._before) / 2**20 if self._before else None

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, _resident_bytes() or 0)
            if self._stop.wait(_SAMPLE_SECONDS):
                return


def _resident_bytes() -> int | None:
    """Resident set of this process, from Linux's /proc; None elsewhere."""
    import os

    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
