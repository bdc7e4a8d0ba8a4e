"""How long a method takes for one image: a few calls within a few seconds, with how far they scatter."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isrbench.harness.api.complexity import RUNS, WARM_UP, measure

if TYPE_CHECKING:
    from torch import Tensor

LIMIT_SECONDS = 10.0
"""No call begins once so much time is over; one call that takes longer is measured all the same."""


@dataclass(frozen=True)
class Timing:
    """Time and memory of ``restore`` for one image, as seen on this machine."""

    latency_ms: float
    """Median milliseconds of one call."""
    runs: int
    """Calls behind the median: RUNS, or fewer where they take long."""
    spread: float | None
    """The slowest call less the fastest, as a share of the median; None for a single call."""
    load: float | None
    """The machine's load average over a minute when it began; None where the system does not say."""
    peak_mib: float | None
    """As :class:`isrbench.harness.api.complexity.Measured` has it."""


def time_restore(
    restore: Callable[[Tensor], object],
    height: int,
    width: int,
    device: str,
    *,
    cold: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Timing:
    """Time ``restore`` on noise LR images, another one each time: WARM_UP calls, then RUNS that count.

    After LIMIT_SECONDS no further call begins. Where not even the warm-up was over by then, the last call counts: it
    took seconds, beside which a first call's own work is little.

    Args:
        restore: Takes float32 (3, height, width) in [0, 1] on the CPU.
        height: LR pixels.
        width: LR pixels.
        device: Torch device string that the method runs on.
        cold: The first call of all is other work, such as compiling: it is no time, and the limit begins after it.
        clock: Seconds, for the limit.
    """
    if cold:
        measure(restore, height, width, device, warm_up=0, runs=1)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    times: list[float] = []
    peaks: list[float] = []
    start = clock()
    for n in range(WARM_UP + RUNS):
        seen = measure(lambda lr, n=n: restore(lr.roll(n, 2)), height, width, device, warm_up=0, runs=1)
        times.append(seen.latency_ms)
        peaks += [] if seen.peak_mib is None else [seen.peak_mib]
        if clock() - start >= LIMIT_SECONDS:
            break
    counted = times[WARM_UP:] or times[-1:]
    median = statistics.median(counted)
    spread = (max(counted) - min(counted)) / median if len(counted) > 1 and median else None
    return Timing(median, len(counted), spread, load, max(peaks, default=None))
