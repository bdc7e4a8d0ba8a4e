"""Perception against distortion: the plane that restoration cannot leave at one end without leaving it at the other.

After Blau and Michaeli, The Perception-Distortion Tradeoff (CVPR 2018), figure 1, with metrics that papers report.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path

from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.figures.pareto import CORNERS, front, front_line, label_points
from isrbench.reports.figures.style import GREY, Target, colours, figure, markers, save
from isrbench.reports.statistics import Cell, Cells
from isrbench.reports.tables.table import heading

DISTORTION = "psnr"
PERCEPTION = ("lpips", "musiq", "niqe")


def tradeoff(aligned: AlignedRuns, cells: Cells, distortion: Metric, perception: Metric, to: Target) -> list[Path]:
    """Plot each method's mean of two metrics with 95% intervals, and the front of those that none beats in both.

    Args:
        aligned: Runs of one set.
        cells: Their means.
        distortion: Of the x axis, such as PSNR.
        perception: Of the y axis, such as LPIPS; the axis is turned so that better is always up.
        to: Where the files go.

    Returns:
        The files; none for fewer than two methods with finite means of both.
    """
    both = {label: (cells[label, distortion.id], cells[label, perception.id]) for label in aligned.labels}
    points = {
        label: (x.mean, y.mean)
        for label, (x, y) in both.items()
        if x.mean is not None and y.mean is not None and isfinite(x.mean) and isfinite(y.mean)
    }
    if len(points) < 2:
        return []
    sign = -1 if distortion.direction is Direction.HIGHER else 1
    costs = {label: (sign * x, y) for label, (x, y) in points.items()}
    tints, shapes = colours(aligned.places), markers(aligned.places)
    with figure(height=2.7) as (drawn, axes):
        line = front_line(axes, [points[label] for label in front(costs, perception.direction)])
        for label, (x, y) in points.items():
            across, along = _ends(both[label][0], x), _ends(both[label][1], y)
            axes.plot(across, [y, y], color=tints[label], lw=0.7, alpha=0.6)
            axes.plot([x, x], along, color=tints[label], lw=0.7, alpha=0.6)
            axes.plot(x, y, marker=shapes[label], color=tints[label], ls="", ms=5)
        axes.margins(0.12, 0.12)
        axes.locator_params(nbins=5)
        if distortion.direction is Direction.LOWER:
            axes.invert_xaxis()
        if perception.direction is Direction.LOWER:
            axes.invert_yaxis()
        axes.set_xlabel(heading(distortion))
        axes.set_ylabel(heading(perception))
        axes.set_title(
            "better: up and to the right; bars are 95% intervals", fontsize=6.5, loc="left", color=GREY, pad=3
        )
        label_points(drawn, axes, points, tints, line, CORNERS)
        return save(drawn, to, f"{aligned.title}: {perception.title} against {distortion.title}")


def _ends(cell: Cell, mean: float) -> list[float]:
    """Return the interval's ends; the mean twice where there is no interval."""
    return [mean, mean] if cell.low is None or cell.high is None else [cell.low, cell.high]
