"""Plots of routing: how many experts an image gets, where, and how many slots stay empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import stats

from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.figures.style import (
    BLUE,
    GREY,
    HEAT,
    INK,
    ORANGE,
    Target,
    colours,
    dense,
    figure,
    legend_below,
    panels,
    save,
)
from isrbench.reports.routing import correlation, severity_and_experts
from isrbench.reports.strata import Stratum
from isrbench.reports.tables.table import p_text


def severity_scatter(aligned: AlignedRuns, label: str, to: Target) -> list[Path]:
    """Plot severity against mean active experts, one point an image, with a line fitted by least squares."""
    pair = severity_and_experts(aligned, label, "severity")
    if len(pair) < 3:
        return []
    rho, p, low, high = correlation(pair["x"], pair["y"])
    with figure(height=2.5) as (drawn, axes):
        _points_and_fit(axes, pair, ORANGE)
        axes.set_xlabel("estimated severity (higher = worse input)")
        axes.set_ylabel("active experts, mean of layers")
        text = "constant: no correlation" if np.isnan(rho) else _rho_text(rho, p, low, high)
        axes.set_title(text, fontsize=6.5, loc="left", pad=2)
        return save(drawn, to, f"{label} on {aligned.title}: active experts by severity")


def dimension_scatter(aligned: AlignedRuns, label: str, table: pd.DataFrame, to: Target) -> list[Path]:
    """Plot severity and each of its seven dimensions against active experts, in small panels, with rho and p above.

    ``table`` is that of :func:`isrbench.reports.routing.correlations`.
    """
    if table.empty:
        return []
    rows = -(-len(table) // 2)
    with panels(rows, 2, height=0.7 + 1.25 * rows, sharey=True) as (drawn, axes):
        for ax, found in zip(axes, table.to_dict("records"), strict=False):
            by = str(found["by"])
            _points_and_fit(ax, severity_and_experts(aligned, label, by), ORANGE if by == "severity" else GREY)
            constant = np.isnan(found["rho"])
            text = "constant" if constant else f"ρ\u00a0=\u00a0{found['rho']:.2f}, {p_text(found['p'])}"
            ax.set_title(f"{by}\n{text}", fontsize=6.5, loc="left", pad=2)
            ax.tick_params(labelsize=6)
        for ax in axes[len(table) :]:
            ax.set_visible(False)
        drawn.supylabel("active experts, mean of layers", fontsize=7.5)
        drawn.supxlabel("estimated severity and its dimensions (higher = worse input)", fontsize=7.5)
        return save(drawn, to, f"{label} on {aligned.title}: active experts by each dimension")


def dimension_bars(aligned: AlignedRuns, label: str, table: pd.DataFrame, to: Target) -> list[Path]:
    """Plot Spearman's rho of active experts with severity and each of its seven dimensions, with interval and p.

    ``table`` is that of :func:`isrbench.reports.routing.correlations`.
    """
    table = table.dropna()
    if table.empty:
        return []
    with figure(height=2.3) as (drawn, axes):
        places = np.arange(len(table))[::-1]
        errors = np.abs(np.array([table["rho"] - table["low"], table["high"] - table["rho"]]))
        tints = [ORANGE if by == "severity" else BLUE for by in table["by"]]
        axes.barh(places, table["rho"], color=tints, height=0.62, alpha=0.85)
        axes.errorbar(table["rho"], places, xerr=errors, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2)
        axes.set_yticks(places, list(table["by"]))
        axes.axvline(0, color=GREY, lw=0.7)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("Spearman rho with active experts (95% interval)")
        right = axes.secondary_yaxis("right")
        right.set_yticks(places, [p_text(p) for p in table["p"]], fontsize=6)
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
        return save(drawn, to, f"{label} on {aligned.title}: what routing follows")


def layer_heatmap(aligned: AlignedRuns, label: str, groups: list[Stratum], to: Target) -> list[Path]:
    """Plot mean active experts of each layer (in order of execution) and stratum; grey where no image went through."""
    rows = aligned.routing.query("label == @label")
    if rows.empty or not groups:
        return []
    means = _by_group(rows, groups, "active")
    with figure(height=0.9 + 0.32 * len(groups)) as (drawn, axes):
        axes.set_facecolor("#9aa3ad")
        heat = axes.imshow(means, aspect="auto", cmap=HEAT, interpolation="nearest")
        counts = [rows.query("image in @g.images")["image"].nunique() for g in groups]
        names = [f"{g.name.split()[-1]} (n={count})" for g, count in zip(groups, counts, strict=True)]
        axes.set_yticks(range(len(groups)), names)
        axes.set_ylabel(groups[0].name.split()[0])
        axes.grid(visible=False)
        axes.set_xlabel("adapted layer, in order of execution")
        bar = drawn.colorbar(heat, ax=axes, pad=0.02, aspect=12)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return save(drawn, to, f"{label} on {aligned.title}: active experts by layer")


def zero_share(aligned: AlignedRuns, label: str, groups: list[Stratum], to: Target) -> list[Path]:
    """Plot the share of picked slots that are zero slots, by layer, a line for each stratum."""
    rows = aligned.routing.query("label == @label")
    if rows.empty:
        return []
    shown = groups or [Stratum("all images", "", tuple(rows["image"].unique()))]
    zero, active = _by_group(rows, shown, "zero"), _by_group(rows, shown, "active")
    tints = colours([g.name for g in shown])
    with figure(height=2.4) as (drawn, axes):
        lines = {}
        for place, group in enumerate(shown):
            share = zero[place] / np.maximum(zero[place] + active[place], 1e-9)
            if not np.isnan(share).all():
                lines[group.name] = axes.plot(share, color=tints[group.name], lw=1.1)[0]
        axes.set_ylim(bottom=0)
        axes.set_xlabel("adapted layer, in order of execution")
        axes.set_ylabel("zero slots / (zero + active)")
        legend_below(drawn, lines)
        return save(drawn, to, f"{label} on {aligned.title}: slots left empty")


def _points_and_fit(axes: Axes, pair: pd.DataFrame, tint: str) -> None:
    many = dense(len(pair))
    axes.scatter(pair["x"], pair["y"], s=9, color=BLUE, alpha=0.75, edgecolors="white", linewidths=0.3, rasterized=many)
    if pair["x"].nunique() > 1:
        fit: Any = stats.linregress(pair["x"], pair["y"])
        ends = np.array([pair["x"].min(), pair["x"].max()])
        axes.plot(ends, fit.intercept + fit.slope * ends, color=tint)


def _by_group(rows: pd.DataFrame, groups: list[Stratum], column: str) -> NDArray[np.float64]:
    """Return means, (group, layer); NaN where a group has no image with that layer: it failed, or has fewer layers."""
    positions = sorted(rows["position"].unique())
    parts: list[Any] = [rows.query("image in @g.images").groupby("position")[column].mean() for g in groups]
    means = [part.reindex(positions) for part in parts]
    return np.array([np.asarray(mean, dtype=float) for mean in means])


def _rho_text(rho: float, p: float, low: float, high: float) -> str:
    return f"rho\u00a0=\u00a0{rho:.2f} [{low:.2f},\u00a0{high:.2f}], {p_text(p)}"
