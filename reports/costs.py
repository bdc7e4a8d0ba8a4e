"""Which runs' costs compare: MACs for one LR size, latencies also for one device and machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from isrbench.harness.api.records import SCATTER, Manifest
from isrbench.reports.aligned import AlignedRuns


def milliseconds(value: Any) -> str:
    """Return a latency in three digits, never as a power of ten: ``48,300 ms``; ``–`` where unknown."""
    if value is None or pd.isna(value):
        return "–"
    rounded = float(f"{float(value):.3g}")
    return f"{rounded:,.0f} ms" if abs(rounded) >= 100 else f"{rounded:.3g} ms"


def three_digits(value: Any) -> str:
    """Return a cost in three digits with the prefix that fits: ``3.15 M``; ``–`` where unknown."""
    if value is None or pd.isna(value):
        return "–"
    for unit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.3g}"


def scatters(aligned: AlignedRuns, label: str) -> bool:
    """Return whether the calls behind a run's latency lay further apart than SCATTER of their median."""
    spread: Any = aligned.runs.loc[label].get("latency_spread")
    return spread is not None and not pd.isna(spread) and spread > SCATTER


def comparable(aligned: AlignedRuns, labels: Sequence[str], cost: str) -> tuple[list[str], str, list[str]]:
    """Return the labels that were measured under the most common condition, that condition in words, and the others."""
    conditions = {label: condition(aligned, label, cost) for label in labels}
    if not conditions:
        return [], "", []
    common, _ = Counter(conditions.values()).most_common(1)[0]
    others = [f"{label} ({', '.join(c)})" for label, c in conditions.items() if c != common]
    return [label for label, c in conditions.items() if c == common], ", ".join(common[:2]), others


def condition(aligned: AlignedRuns, label: str, cost: str) -> tuple[str, ...]:
    """Return what a run's cost, ``macs`` or ``latency_ms``, was measured under: LR size, for latency device, machine.

    A machine that the run's manifest does not name is left out, as it is where several worked on the run: a cost is
    measured once, and nothing says by which of them.
    """
    run = aligned.runs.loc[label]
    size = f"LR {run['complexity_size']}" if isinstance(run["complexity_size"], str) else "LR size unknown"
    if cost == "macs":
        return (size,)
    manifest: Manifest = run["manifest"]  # pyright: ignore[reportAssignmentType]
    machines = {f"{call.platform} with {call.cpus} CPUs" for call in manifest.invocations if call.platform}
    return (size, str(run["device"]), *(machines if len(machines) == 1 else ()))
