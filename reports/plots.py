"""Plots of quality: against severity, against cost, and of two methods image by image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from harness.metric import Direction, Metric
from reports.statistics import Cell, bootstrap_means
from reports.strata import Rule, strata
from reports.style import colours, entitle, figure, markers, save
from reports.tables import heading
from reports.view import View

_BINS = 5
_DRAWS = 2000


def robustness(view: View, metric: Metric, folder: Path, name: str) -> list[Path]:
    """A metric against severity for each method: means of five equal groups of images with 95% bands.

    Nothing is drawn, and no file made, for fewer than five images with severity and values.
    """
    values = view.values[metric.id].dropna(axis=1, how="all")
    known = view.images.loc[values.dropna().index].dropna(subset=["severity"])
    if len(known) < _BINS:
        return []
    groups = strata(known, Rule("severity", quantiles=_BINS))
    tints, shapes = colours(view.labels), markers(view.labels)
    with figure(height=2.6) as (drawn, axes):
        for label in values.columns:
            x = [known.loc[list(g.images), "severity"].mean() for g in groups]
            spread = [values.loc[list(g.images), label].to_numpy() for g in groups]
            bands = np.array([_interval(v) for v in spread])
            axes.fill_between(x, bands[:, 0], bands[:, 1], color=tints[label], alpha=0.13, linewidth=0)
            axes.plot(x, [v.mean() for v in spread], color=tints[label], marker=shapes[label], label=label)
        axes.set_xlabel("estimated severity (higher = worse input)")
        axes.set_ylabel(heading(metric))
        entitle(drawn, f"{view.dataset}: {metric.title} by severity (n = {len(known)})")
        _legend_below(axes, len(values.columns))
        return save(drawn, folder, name)


def pareto(
    view: View, cells: dict[tuple[str, str], Cell], metric: Metric, cost: str, folder: Path, name: str
) -> list[Path]:
    """A metric's mean against ``macs`` or ``latency_ms``, with the front of methods that none beats in both.

    Methods without the cost (external programs) or the mean are left out; no file is made for fewer than two.
    """
    costs = view.runs[cost].astype(float)
    points = {
        label: (float(costs[label]), mean)
        for label in view.labels
        if costs[label] > 0 and (mean := cells[label, metric.id].mean) is not None and np.isfinite(mean)
    }
    if len(points) < 2:
        return []
    tints, shapes = colours(view.labels), markers(view.labels)
    front = _front(points, metric.direction)
    unit, size = (1e9, "GMACs") if cost == "macs" else (1.0, "latency, ms")
    with figure(height=2.5) as (drawn, axes):
        axes.plot([points[p][0] / unit for p in front], [points[p][1] for p in front], color="#9aa3ad", lw=0.9, ls="--")
        for label, (x, y) in points.items():
            axes.plot(x / unit, y, marker=shapes[label], color=tints[label], ls="", ms=5, label=label)
        axes.set_xscale("log")
        axes.margins(0.12)
        measured = view.runs["complexity_size"].dropna().unique()
        axes.set_xlabel(f"{size} for one LR image of {', '.join(map(str, measured))}")
        axes.set_ylabel(heading(metric))
        entitle(drawn, f"{view.dataset}: quality against cost")
        _legend_below(axes, len(points))
        return save(drawn, folder, name)


def paired(view: View, metric: Metric, first: str, second: str, folder: Path, name: str) -> list[Path]:
    """Each image as a point: ``first``'s value against ``second``'s; colour is severity where it is known."""
    both = view.values[metric.id][[first, second]].replace([np.inf, -np.inf], np.nan).dropna()
    if both.empty:
        return []
    severity = view.images.loc[both.index, "severity"]
    gain = both[second] - both[first]
    wins = int(((gain > 0) if metric.direction is Direction.HIGHER else (gain < 0)).sum())
    with figure(height=2.9) as (drawn, axes):
        low, high = float(both.min().min()), float(both.max().max())
        axes.plot([low, high], [low, high], color="#9aa3ad", lw=0.9, ls="--", zorder=1)
        coloured = severity.notna().all()
        tint: dict[str, Any] = {"c": severity, "cmap": "cividis"} if coloured else {"color": "#0072B2"}
        dots = axes.scatter(both[first], both[second], s=11, edgecolors="white", linewidths=0.3, zorder=2, **tint)
        if coloured:
            drawn.colorbar(dots, ax=axes, label="severity", pad=0.02, aspect=30).outline.set_visible(False)
        axes.set_aspect("equal")
        axes.set_xlabel(f"{first}, {heading(metric)}")
        axes.set_ylabel(f"{second}, {heading(metric)}")
        entitle(drawn, f"{second} is better on {wins} of {len(both)}")
        return save(drawn, folder, name)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(bootstrap_means(values[:, None], draws=_DRAWS), (0.025, 0.975))
    return float(low), float(high)


def _front(points: dict[str, tuple[float, float]], direction: Direction) -> Sequence[str]:
    """Methods that no other beats in cost and quality, from cheap to dear."""
    sign = 1 if direction is Direction.HIGHER else -1
    front: list[str] = []
    best = -np.inf
    for label in sorted(points, key=lambda p: (points[p][0], -sign * points[p][1])):
        if sign * points[label][1] > best:
            best = sign * points[label][1]
            front.append(label)
    return front


def _legend_below(axes: Axes, count: int) -> None:
    axes.figure.legend(loc="outside lower center", ncols=min(count, 3), handlelength=1.6, columnspacing=1.2)
