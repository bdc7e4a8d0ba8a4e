"""Plots of quality: against severity, and of two methods image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.figures.style import (
    BLUE,
    HEAT,
    RING,
    Target,
    colours,
    dense,
    figure,
    legend_below,
    markers,
    panels,
    save,
    short,
)
from isrbench.reports.statistics import bootstrap_means
from isrbench.reports.strata import Rule, strata
from isrbench.reports.tables.table import heading

_BINS = 5
_BAND = 5
"""A group of fewer images gets no 95% band: resampling them says nothing."""
_DRAWS = 2000


def robustness(aligned: AlignedRuns, metric: Metric, base: str | None, to: Target) -> list[Path]:
    """Plot a metric against severity for each method, and below it the paired difference to the baseline.

    Images form up to five equal groups of at least five; a point is a group's mean, a band its bootstrap 95% interval.
    The spread among images is mostly shared by all methods: it widens the upper panel's bands and cancels in the lower
    panel.

    Returns:
        The files; none for fewer than ten images with severity and values.
    """
    table = aligned.values[metric.id][list(aligned.labels)]
    values = table.replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all")
    known = aligned.images.loc[values.dropna().index].dropna(subset=["severity"])
    if len(known) < 2 * _BAND:
        return []
    groups = strata(known, Rule("severity", quantiles=min(_BINS, len(known) // _BAND)))
    places = [list(group.images) for group in groups]
    x = np.array([known.loc[place, "severity"].mean() for place in places])
    paired = base is not None and base in values and len(values.columns) > 1
    rows = 2 if paired else 1
    with panels(rows, 1, height=1.4 + 1.3 * rows, sharex=True) as (drawn, axes):
        entries = {}
        for label in values.columns:
            entries[label] = _curve(
                aligned, axes[0], x, [values.loc[p, label].to_numpy() for p in places], label, not paired
            )
            if paired and label != base:
                gain = values[label] - values[base]
                _curve(aligned, axes[1], x, [gain.loc[p].to_numpy() for p in places], label, True)
        axes[0].set_ylabel(heading(metric))
        if paired:
            axes[1].axhline(0, color=colours(aligned.places)[str(base)], lw=1.0)
            better = "above" if metric.direction is Direction.HIGHER else "below"
            axes[1].set_ylabel(f"difference\nto {short(str(base))}")
            axes[1].set_title(f"{better} the line = better than {short(str(base))}", fontsize=6.5, loc="left", pad=2)
        axes[-1].set_xlabel("estimated severity (higher = worse input)")
        drawn.align_ylabels(axes)
        legend_below(drawn, entries)
        return save(drawn, to, f"{aligned.title}: {metric.title} by severity (n = {len(known)})")


def paired(aligned: AlignedRuns, metric: Metric, first: str, second: str, to: Target) -> list[Path]:
    """Plot each image as a point: ``first``'s value against ``second``'s; colour is severity where it is known."""
    both = _pairs(aligned, metric, first, second)
    if both.empty:
        return []
    severity = aligned.images.loc[both.index, "severity"]
    with figure(height=2.9) as (drawn, axes):
        low, high = float(both.min().min()), float(both.max().max())
        axes.plot([low, high], [low, high], color="#9aa3ad", lw=0.9, ls="--", zorder=1)
        coloured = bool(severity.notna().all())
        tint: dict[str, Any] = {"c": severity, "cmap": HEAT} if coloured else {"color": BLUE}
        tint["rasterized"] = dense(len(both))
        dots = axes.scatter(both[first], both[second], s=11, edgecolors=RING, linewidths=0.3, zorder=2, **tint)
        if coloured:
            bar = drawn.colorbar(dots, ax=axes, label="severity", pad=0.02, aspect=30)
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        axes.set_aspect("equal")
        axes.set_xlabel(f"{first}, {heading(metric)}")
        axes.set_ylabel(f"{second}, {heading(metric)}")
        return save(drawn, to, f"{aligned.title}: {metric.title} image by image")


def paired_words(aligned: AlignedRuns, metric: Metric, first: str, second: str) -> str:
    """Say who wins how often: ``PSNR: MoR-SR beats Bicubic on 90 of 100 images, loses on 8, equals it on 2``."""
    both = _pairs(aligned, metric, first, second)
    gain = (both[second] - both[first]) * (1 if metric.direction is Direction.HIGHER else -1)
    counts = [int((gain > 0).sum()), int((gain < 0).sum()), int((gain == 0).sum())]
    equal = f", equals it on {counts[2]}" if counts[2] else ""
    return f"{metric.title}: {second} beats {first} on {counts[0]} of {len(both)} images, loses on {counts[1]}{equal}"


def _pairs(aligned: AlignedRuns, metric: Metric, first: str, second: str) -> pd.DataFrame:
    return aligned.values[metric.id][[first, second]].replace([np.inf, -np.inf], np.nan).dropna()


def _curve(
    aligned: AlignedRuns, axes: Axes, x: NDArray[np.float64], spread: list[NDArray[np.float64]], label: str, band: bool
) -> Artist:
    """Plot means of the groups, with bands if asked for and the groups are large enough, and return the line."""
    tint, shape = colours(aligned.places)[label], markers(aligned.places)[label]
    if band and all(len(values) >= _BAND for values in spread):
        bounds = np.array([_interval(values) for values in spread])
        axes.fill_between(x, bounds[:, 0], bounds[:, 1], color=tint, alpha=0.16, linewidth=0)
    return axes.plot(x, [values.mean() for values in spread], color=tint, marker=shape)[0]


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(bootstrap_means(values[:, None], draws=_DRAWS), (0.025, 0.975))
    return float(low), float(high)
