"""Quality against cost, among runs whose costs were measured alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from isrbench.harness.api.metric import Direction, Metric
from isrbench.harness.api.records import SCATTER
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.costs import comparable, scatters
from isrbench.reports.figures.style import Target, colours, figure, markers, save
from isrbench.reports.statistics import Cells
from isrbench.reports.tables.table import heading

_UNITS = {"macs": (1e9, "MACs, G"), "latency_ms": (1.0, "latency, ms")}
_APART = 3
"""Pixels between two labels of an axis, at least."""
_ENOUGH = 3
"""Two points make no front."""
_AROUND = ((5, 0, "left", "center"), (-5, 0, "right", "center"), (0, 5, "center", "bottom"), (0, -5, "center", "top"),
           (5, 6, "left", "bottom"), (5, -6, "left", "top"), (-5, 6, "right", "bottom"),
           (-5, -6, "right", "top"))  # fmt: skip
"""Where a label may be put beside its point, best first: offset in points, alignments."""
CORNERS = _AROUND[4:]
"""The places that leave room for bars through a point."""


def pareto(aligned: AlignedRuns, cells: Cells, metric: Metric, cost: str, to: Target) -> tuple[list[Path], str]:
    """Plot a metric's mean against ``macs`` or ``latency_ms``, with the front of methods that no other beats in both.

    MACs compare for one LR size, latencies also for one device and machine: of several such conditions the most common
    is drawn, and the text names the methods that are left out. A latency whose calls scatter has a hollow mark.

    Returns:
        The files, none for fewer than three methods, and what the plot shows.
    """
    quality = {label: mean for label in aligned.labels if (mean := cells[label, metric.id].mean) is not None}
    costs = {label: float(aligned.runs.loc[label, cost] or "nan") for label in quality}  # pyright: ignore[reportArgumentType]
    there = [label for label in quality if costs[label] > 0 and np.isfinite(quality[label])]
    chosen, condition, others = comparable(aligned, there, cost)
    if len(chosen) < _ENOUGH:
        return [], ""
    unit, words = _UNITS[cost]
    unsure = [label for label in chosen if cost == "latency_ms" and scatters(aligned, label)]
    points = {label: (costs[label] / unit, quality[label]) for label in chosen}
    with figure(height=2.5) as (drawn, axes):
        line = front_line(axes, [points[label] for label in front(points, metric.direction)])
        tints, shapes = colours(aligned.places), markers(aligned.places)
        for label, (x, y) in points.items():
            fill = "none" if label in unsure else "full"
            axes.plot(x, y, marker=shapes[label], color=tints[label], ls="", ms=5, fillstyle=fill)
        axes.margins(0.16, 0.16)
        axes.set_xlabel(f"{words} ({condition})")
        axes.set_ylabel(heading(metric))
        plain_log_axis(drawn, axes)
        label_points(drawn, axes, points, tints, line)
        paths = save(drawn, to, f"{aligned.title}: {metric.title} against {'MACs' if cost == 'macs' else 'latency'}")
    left_out = f"; left out, measured otherwise: {', '.join(others)}" if others else ""
    hollow = f"; hollow: calls scatter by more than {SCATTER:.0%}: {', '.join(unsure)}" if unsure else ""
    return paths, f"{metric.title} against {words.partition(',')[0]} ({condition}){hollow}{left_out}"


def front(points: Mapping[str, tuple[float, float]], direction: Direction) -> list[str]:
    """Return methods that no other beats in cost and quality, from cheap to expensive."""
    sign = 1 if direction is Direction.HIGHER else -1
    found: list[str] = []
    best = -np.inf
    for label in sorted(points, key=lambda p: (points[p][0], -sign * points[p][1])):
        if sign * points[label][1] > best:
            best = sign * points[label][1]
            found.append(label)
    return found


def front_line(axes: Axes, front: Sequence[tuple[float, float]]) -> Line2D:
    """Draw a front in steps, not slopes: between two methods there is no third."""
    (line,) = axes.step([x for x, _ in front], [y for _, y in front], where="post", color="#9aa3ad", lw=0.9, ls="--")
    return line


def plain_log_axis(drawn: Figure, axes: Axes) -> None:
    """Label the axis ``1 2 5 10`` instead of powers, with as many labels as stand clear of each other."""
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(5))
    for parts, most in (((1.0, 2.0, 5.0), 7), ((1.0, 3.0), 7), ((1.0,), 7), ((1.0,), 4)):
        axes.xaxis.set_major_locator(LogLocator(subs=parts, numticks=most))
        drawn.draw_without_rendering()
        if not labels_collide(axes):
            return


def plain_number(value: float) -> str:
    """Return a number without a power of ten: ``10,000``, ``0.001``."""
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.12f}".rstrip("0").rstrip(".")


def labels_collide(axes: Axes) -> bool:
    """Return whether two labels of the x axis touch, as the figure was drawn last."""
    low, high = axes.get_xlim()
    boxes = sorted(
        (label.get_window_extent() for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
         if low <= tick <= high and label.get_text()),
        key=lambda box: box.x0,
    )  # fmt: skip
    return any(one.x1 + _APART > other.x0 for one, other in pairwise(boxes))


def label_points(
    drawn: Figure,
    axes: Axes,
    points: Mapping[str, tuple[float, float]],
    tints: Mapping[str, str],
    line: Line2D,
    around: Sequence[tuple[int, int, str, str]] = _AROUND,
) -> None:
    """Write each name beside its point, where it covers no other name or point nor the line, and is within the axes."""
    drawn.draw_without_rendering()
    steps = line.get_path().transformed(axes.transData)
    inside = axes.get_window_extent()
    dots = {label: axes.transData.transform(point) for label, point in points.items()}
    taken: list[Any] = []
    for label, point in points.items():
        best: tuple[int, Any, Any] | None = None
        for dx, dy, ha, va in around:
            text = axes.annotate(label, point, (dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=6.5,
                                 color=tints[label])  # fmt: skip
            box = text.get_window_extent()
            clashes = sum(box.overlaps(other) for other in taken)
            clashes += sum(box.contains(*dot) for name, dot in dots.items() if name != label)
            clashes += steps.intersects_bbox(box, filled=False)
            clashes += 2 * (box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1)
            if best is None or clashes < best[0]:
                if best is not None:
                    best[1].remove()
                best = (clashes, text, box)
            else:
                text.remove()
        if best is not None:
            taken.append(best[2])
