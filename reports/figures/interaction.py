"""Slopes of the paired difference over severity, all metrics on one axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist

from isrbench.harness.api.metric import Direction
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.figures.style import GREY, Target, colours, figure, legend_below, markers, save, short

_APART = 0.7
"""Share of a metric's row that its methods spread over."""


def slope_bars(aligned: AlignedRuns, rows: pd.DataFrame, baseline: str, to: Target) -> list[Path]:
    """Plot each slope with its 95% interval: right of the line, a method gains on the baseline as images get worse.

    Slopes of different metrics share an axis in standard deviations of the paired difference per standard deviation of
    severity; those of metrics that are better when lower are mirrored.

    Args:
        aligned: Runs of one set.
        rows: Of :func:`isrbench.reports.interaction.analyse`.
        baseline: Label that the others are compared with.
        to: Where the files go.

    Returns:
        The files; none where there is no slope.
    """
    if rows.empty or rows["slope"].isna().all():
        return []
    known = rows.dropna(subset=["slope"]).set_index(["method", "metric"])
    metrics = [m for m in aligned.metrics if m.id in known.index.get_level_values("metric")]
    labels = [label for label in aligned.labels if label in known.index.get_level_values("method")]
    severity = aligned.images["severity"].dropna().astype(float)
    with figure(height=1.1 + max(0.28, 0.09 * len(labels)) * len(metrics)) as (drawn, axes):
        entries: dict[str, Artist] = {}
        for place, label in enumerate(labels):
            shift = _APART * ((place + 0.5) / len(labels) - 0.5)
            tint, shape = colours(aligned.places)[label], markers(aligned.places)[label]
            for row, metric in enumerate(metrics):
                table = aligned.values[metric.id].loc[severity.index]
                spread = float((table[label] - table[baseline]).std(ddof=0))
                if (label, metric.id) not in known.index or spread == 0:
                    continue
                slope: Any = known.loc[(label, metric.id)]
                unit = float(severity.std(ddof=0)) / spread * (1 if metric.direction is Direction.HIGHER else -1)
                axes.plot([slope["low"] * unit, slope["high"] * unit], [row + shift] * 2, color=tint, lw=1.1)
                filled = tint if slope["better"] in (True, False) else "white"
                dot = axes.plot(
                    slope["slope"] * unit, row + shift, color=tint, marker=shape, markerfacecolor=filled, ls="none"
                )
                entries[label] = dot[0]
        axes.axvline(0, color=GREY, lw=0.9)
        axes.set_yticks(range(len(metrics)), [m.title for m in metrics])
        axes.set_ylim(len(metrics) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("slope, in standard deviations of both")
        axes.set_title("right of the line = gains on the baseline as images get worse", fontsize=6.5, loc="left", pad=2)
        legend_below(drawn, entries)
        return save(drawn, to, f"{aligned.title}: slope of the difference to {short(baseline)} over severity")
