"""Paired differences to the baseline, image by image, of every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.figures.style import GREY, Target, colours, dense, figure, markers, save, short
from isrbench.reports.statistics import SEED, Cells

_SPREAD = 0.28
"""Half the height that a method's dots are spread over, of a row's."""


def differences(aligned: AlignedRuns, cells: Cells, metric: Metric, base: str, to: Target) -> list[Path]:
    """Plot each image's difference to the baseline as a dot, and each method's mean with its 95% interval.

    The baseline lies at 0. A mean is filled where the table marks it as significant. The heights of the dots within
    their row mean nothing.

    Args:
        aligned: Runs of one set.
        cells: Means over all images, compared with the baseline.
        metric: One of single images.
        base: The baseline's label.
        to: Where the files go.

    Returns:
        The files; none where no method has a difference.
    """
    table = aligned.values[metric.id]
    known = {label: cells[label, metric.id] for label in aligned.labels if label != base}
    labels = [label for label, cell in known.items() if cell.difference is not None]
    if not labels:
        return []
    tints, shapes = colours(aligned.places), markers(aligned.places)
    rng = np.random.default_rng(SEED)
    heights = rng.uniform(-_SPREAD, _SPREAD, len(table))  # the same image has the same height in every row
    with figure(height=0.75 + 0.3 * len(labels)) as (drawn, axes):
        axes.axvline(0, color=GREY, lw=0.9)
        for row, label in enumerate(labels):
            cell: Any = known[label]
            tint = tints[label]
            shifts = table[label] - table[base]
            many = dense(len(shifts))
            axes.scatter(shifts, row + heights, s=4, color=tint, alpha=0.35, linewidths=0, rasterized=many)
            axes.plot([cell.difference_low, cell.difference_high], [row, row], color=tint, lw=2.2)
            filled = tint if cell.better is not None else "white"
            axes.plot(cell.difference, row, marker=shapes[label], color=tint, markerfacecolor=filled, ms=5)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        side = "right" if metric.direction is Direction.HIGHER else "left"
        axes.set_title(f"{side} of the line = better than {short(base)}", fontsize=6.5, loc="left", pad=2)
        axes.set_xlabel(f"difference in {metric.title}{f' ({metric.unit})' if metric.unit else ''}")
        return save(drawn, to, f"{aligned.title}: {metric.title}, paired differences to {base}")
