"""Stored rows as pandas frames: what every report is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

DIMENSIONS = ("quality", "blur", "noise", "resolution", "edges", "detail", "compression")
"""The seven degradation dimensions, in the order of the severity vector s in [0, 1]^7; higher = worse."""


@dataclass(frozen=True)
class Frames:
    """Rows of one or more runs. Long form; a missing value is NaN or None, never 0."""

    runs: pd.DataFrame
    """One row a run: run, method, title, dataset, created (ISO 8601, UTC), seed, device, estimator, routes (bool),
    scale, macs, flops, params_total, params_trainable, params_active, latency_ms, peak_mib, complexity_size
    (LR size counted and timed, such as "128x128"), manifest (dict)."""
    scores: pd.DataFrame
    """One row an image and metric: run, method, dataset, image ("" for a set metric), metric, value, status
    ("ok", "failed", "unavailable", "no-reference"), error."""
    images: pd.DataFrame
    """One row an image: run, method, dataset, image, status ("ok", "failed"), error, seconds, severity, one column for
    each of DIMENSIONS, level (the true severity level of a synthetic set, or None), active_experts (mean over
    layers, or NaN), lr_path, hr_path (or None), output_path (or None); paths are absolute strings."""
    routing: pd.DataFrame
    """One row an image and adapted layer: run, method, dataset, image, position (0, 1, ... in order of execution),
    layer, active, zero."""
