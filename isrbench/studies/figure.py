"""The routing study's figure: each arm's difference to own severity with its interval, a panel for each metric."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.figures.style import COLUMN, GREY, INK, Target, colours, legend_below, markers, panels, save
from isrbench.studies.verdict import margin

_ALL = "all"


def draw_arms(table: pd.DataFrame, metrics: Sequence[Metric], title: str, to: Target) -> list[Path]:
    """Draw the differences.

    Args:
        table: Rows of :attr:`isrbench.studies.routing.RoutingStudy.table`.
        metrics: A panel for each.
        title: What was studied.
        to: Where the files go.

    Returns:
        The files; nothing where there is no difference to draw.
    """
    known = table.dropna(subset=["difference"])
    shown = [metric for metric in metrics if metric.id in set(known["metric"])]
    if not shown:
        return []
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    arms = list(dict.fromkeys(known["arm"]))
    height = 0.9 + rows * (0.45 + 0.2 * len(arms))
    entries: dict[str, Artist] = {}
    with panels(rows, columns, COLUMN * columns, height) as (drawn, axes):
        for ax, metric in zip(axes, shown, strict=False):
            entries |= _panel(ax, known.loc[known["metric"] == metric.id, :], metric, arms)
        for ax in axes[len(shown) :]:
            ax.set_visible(False)
        legend_below(drawn, entries)
        return save(drawn, to, title)


def _panel(axes: Axes, rows: pd.DataFrame, metric: Metric, arms: Sequence[str]) -> dict[str, Artist]:
    """Draw one metric: a line an arm, in it all images first and the strata below."""
    groups = list(dict.fromkeys(rows["stratum"]))
    tints = {_ALL: INK, **colours([group for group in groups if group != _ALL])}
    shapes = markers(groups)
    wide = margin(metric)
    axes.axvspan(-wide, wide, color=GREY, alpha=0.15, linewidth=0)
    axes.axvline(0, color=GREY, lw=0.7)
    entries: dict[str, Artist] = {}
    for place, group in enumerate(groups):
        own = rows[rows["stratum"] == group].set_index("arm").reindex(arms)
        y = np.arange(len(arms)) + 0.3 * (2 * place / max(len(groups) - 1, 1) - 1)
        errors = np.array([own["difference"] - own["low"], own["high"] - own["difference"]])
        entries[group] = axes.errorbar(
            own["difference"], y, xerr=errors, fmt=shapes[group], color=tints[group], ms=3, elinewidth=0.8, capsize=1.5
        )[0]
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=5)
    better = "right" if metric.direction is Direction.HIGHER else "left"
    axes.set_xlabel(f"{metric.title}{f' ({metric.unit})' if metric.unit else ''}, arm less own; {better} = better")
    return entries
