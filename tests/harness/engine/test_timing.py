"""A measurement of seconds: how many calls it makes, and what it says of them. Nothing here asserts a duration."""

from __future__ import annotations

from itertools import count

import torch

from isrbench.harness.api.complexity import RUNS, WARM_UP, Measured
from isrbench.harness.api.records import RunCost
from isrbench.harness.engine import timing
from isrbench.harness.engine.timing import LIMIT_SECONDS, time_restore


def _timed(monkeypatch, latencies: list[float], seconds_a_call: float) -> tuple[timing.Timing, int]:
    """What is said of calls that take these milliseconds, by a clock that moves on by so much at each look."""
    left, peaks = iter(latencies), iter((1.0, 9.0, 2.0))

    def measured(restore, height, width, device, *, warm_up, runs):
        assert (warm_up, runs) == (0, 1)
        return Measured(next(left), next(peaks, None), 1)

    monkeypatch.setattr(timing, "measure", measured)
    ticks = count(0, seconds_a_call)
    seen = time_restore(lambda lr: None, 4, 4, "cpu", clock=lambda: next(ticks))
    return seen, len(latencies) - len(list(left))


def test_quick_calls_are_warmed_up_and_counted(monkeypatch) -> None:
    seen, calls = _timed(monkeypatch, [90.0, 80.0, 10.0, 12.0, 11.0, 10.0, 13.0], 0.1)
    assert calls == WARM_UP + RUNS and seen.runs == RUNS and seen.latency_ms == 11.0 and seen.peak_mib == 9.0
    assert seen.spread == 3.0 / 11.0 and RunCost(latency_spread=seen.spread).scatters


def test_no_call_begins_after_the_limit(monkeypatch) -> None:
    seen, calls = _timed(monkeypatch, [3000.0] * 7, LIMIT_SECONDS / 3 + 0.1)
    assert calls == 3 and seen.runs == 1 and seen.spread is None and not RunCost(latency_spread=None).scatters
    seen, calls = _timed(monkeypatch, [48_000.0] * 7, 48.0)
    assert calls == 1 and seen.runs == 1 and seen.latency_ms == 48_000.0


def test_what_a_cold_method_does_first_is_no_time(monkeypatch) -> None:
    latencies = iter([90_000.0, 20.0, 20.0, *[10.0] * RUNS])
    monkeypatch.setattr(timing, "measure", lambda *given, **how: Measured(next(latencies), None, 1))
    seen = time_restore(lambda lr: None, 4, 4, "cpu", cold=True, clock=count(0, 0.1).__next__)
    assert seen.latency_ms == 10.0 and seen.runs == RUNS and next(latencies, None) is None


def test_every_call_gets_another_image() -> None:
    seen: list[torch.Tensor] = []
    timed = time_restore(seen.append, 6, 8, "cpu")
    assert len({image.numpy().tobytes() for image in seen}) == WARM_UP + RUNS == len(seen)
    assert timed.latency_ms > 0 and timed.spread is not None and timed.load is not None
    assert timed.runs == RUNS
