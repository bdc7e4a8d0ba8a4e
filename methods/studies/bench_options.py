"""Measures what `channels_last`, `compile` and `dtype` do to a method: its time beside its plain self, and its pixels.

isrbench tools bench-options --method mor --pixels 128 --rounds 7
isrbench tools bench-options --method spandrel -o weights=net.pth --device cuda --pixels 128 --dtype fp16
isrbench tools bench-options --method osediff --size sd21 --device cuda --dtype fp16 --out bench.json

Each round restores another LR image of noise with every arm in turn, so that a machine that warms up or is disturbed
touches all alike; ratios are medians over the rounds' own ratios. The first call of each arm, which may compile, is
told apart. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.method import Method, MethodPlugin, Runtime
from isrbench.harness.api.options import positive, read_options, split_options
from isrbench.harness.api.registry import methods
from isrbench.harness.determinism import make_deterministic, resolve_device

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

LEVELS = 255


@dataclass(frozen=True)
class Arm:
    """One way to run the method."""

    name: str
    first_s: float
    """Seconds of its first call, compiling included."""
    median_ms: float
    """Median time of the others."""
    ratio: float
    """Median over the rounds of this arm's time by the plain one's in the same round."""
    largest: float
    """Largest difference of a value from the plain arm's, in grey levels."""


def arms(dtype: str) -> dict[str, dict[str, str]]:
    """Return the arms' options by name; the first is the method as it was given."""
    last, compiled = {"channels_last": "true"}, {"compile": "true"}
    return {"plain": {}, "channels_last": last, "compile": compiled, "both": last | compiled, dtype: {"dtype": dtype}}


def bench(
    plugin: MethodPlugin, given: Mapping[str, str], runtime: Runtime, side: int, rounds: int, dtype: str
) -> list[Arm]:
    """Measure all arms at one size.

    Args:
        plugin: The method; it has the options of :func:`arms`.
        given: Its options, as texts, for every arm.
        runtime: Scale and device.
        side: Of the square LR, in pixels.
        rounds: Timed rounds after one that is not.
        dtype: Of the last arm.

    Raises:
        UserError: If the method lacks one of the options, or cannot be built.
    """
    import torch

    built: dict[str, Method] = {
        name: plugin.make(read_options(plugin, {**given, **own}), runtime) for name, own in arms(dtype).items()
    }
    noise = torch.rand(rounds + 1, 3, side, side, generator=torch.Generator().manual_seed(0))
    taken: dict[str, list[float]] = {name: [] for name in built}
    largest = dict.fromkeys(built, 0.0)
    for turn, lr in enumerate(noise):
        plain: Tensor | None = None
        for name, method in built.items():
            seconds, restored = _timed(method, lr, turn)
            taken[name].append(seconds)
            plain = restored if plain is None else plain
            largest[name] = max(largest[name], float((restored - plain).abs().max()) * LEVELS)
    return [
        Arm(
            name,
            first,
            1e3 * statistics.median(times),
            statistics.median(one / other for one, other in zip(times, taken["plain"][1:], strict=True)),
            largest[name],
        )
        for name, (first, *times) in taken.items()
    ]


def _timed(method: Method, lr: Tensor, seed: int) -> tuple[float, Tensor]:
    """Seconds of one restoration up to the pixels on the CPU, for which a GPU has to be done, and these."""
    start = time.perf_counter()
    restored = method.restore(lr, image="noise", seed=seed).image.cpu()
    return time.perf_counter() - start, restored


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench and log a table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="isrbench tools bench-options", description=__doc__)
    parser.add_argument("--method", default="mor", help="of the one-step family, or a network that spandrel runs")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--size",
        choices=("tiny", "sd21"),
        default="tiny",
        help="sd21 = random weights of that size, of the one-step family",
    )
    parser.add_argument("--scale", type=positive, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pixels", type=positive, default=128, help="side of the square LR")
    parser.add_argument("--rounds", type=positive, default=7)
    parser.add_argument("--dtype", default="bf16", help="of the last arm")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    given = parser.parse_args(argv)
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    device = resolve_device(given.device)
    make_deterministic(device)
    plugin, texts = methods().get(given.method), split_options(given.options)
    runtime = Runtime(given.scale, device)
    if given.size == "tiny":
        found = bench(plugin, texts, runtime, given.pixels, given.rounds, given.dtype)
    else:
        from isrbench.methods.studies.random_base import write_random_sd21

        with tempfile.TemporaryDirectory(prefix="isrbench-bench-") as made:
            texts = write_random_sd21(given.method, Path(made)) | texts
            found = bench(plugin, texts, runtime, given.pixels, given.rounds, given.dtype)
    log.info("%-14s %9s %10s %8s %12s", given.method, "first s", "ms", "/ plain", "grey levels")
    for arm in found:
        log.info("%-14s %9.2f %10.1f %8.3f %12.4f", arm.name, arm.first_s, arm.median_ms, arm.ratio, arm.largest)
    if given.out:
        options = {name: str(value) for name, value in vars(given).items()}
        given.out.write_text(json.dumps({"options": options, "costs": [asdict(arm) for arm in found]}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
