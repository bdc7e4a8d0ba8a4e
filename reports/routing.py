"""Plots of routing: how many experts an image gets, where, and how many slots stay empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from harness.frames import DIMENSIONS
from reports.statistics import SEED
from reports.strata import Stratum
from reports.style import HEAT, colours, entitle, figure, save
from reports.view import View

_DRAWS = 2000


def correlation(x: pd.Series, y: pd.Series) -> tuple[float, float, float, float]:
    """Spearman's rho, its p, and a bootstrap 95% interval (pairs resampled); NaN where either is constant."""
    if x.nunique() < 2 or y.nunique() < 2:
        return float("nan"), float("nan"), float("nan"), float("nan")
    found: Any = stats.spearmanr(x, y)
    rng = np.random.default_rng(SEED)
    a, b = x.to_numpy(), y.to_numpy()
    draws = rng.integers(0, len(a), (_DRAWS, len(a)))
    ranks_a, ranks_b = (stats.rankdata(v[draws], axis=1) for v in (a, b))
    ranks_a -= ranks_a.mean(axis=1, keepdims=True)
    ranks_b -= ranks_b.mean(axis=1, keepdims=True)
    norm = np.sqrt((ranks_a**2).sum(axis=1) * (ranks_b**2).sum(axis=1))
    rhos = (ranks_a * ranks_b).sum(axis=1)[norm > 0] / norm[norm > 0]
    low, high = np.quantile(rhos, (0.025, 0.975))
    return float(found.statistic), float(found.pvalue), float(low), float(high)


def correlations(view: View, label: str) -> pd.DataFrame:
    """Active experts against severity and each of its dimensions: rows of by, n, rho, p, low, high."""
    rows = []
    for by in ("severity", *DIMENSIONS):
        pair = pd.concat([view.images[by], view.active[label]], axis=1, keys=["x", "y"]).dropna().astype(float)
        if len(pair) > 2:
            rho, p, low, high = correlation(pair["x"], pair["y"])
            rows.append({"by": by, "n": len(pair), "rho": rho, "p": p, "low": low, "high": high})
    return pd.DataFrame(rows, columns=["by", "n", "rho", "p", "low", "high"])


def severity_scatter(view: View, label: str, folder: Path, name: str) -> list[Path]:
    """Severity against mean active experts, one point an image, with a line fitted by least squares."""
    pair = pd.concat([view.images["severity"], view.active[label]], axis=1, keys=["x", "y"]).dropna().astype(float)
    if len(pair) < 3:
        return []
    rho, p, low, high = correlation(pair["x"], pair["y"])
    with figure(height=2.5) as (drawn, axes):
        axes.scatter(pair["x"], pair["y"], s=11, color="#0072B2", alpha=0.75, edgecolors="white", linewidths=0.3)
        if pair["x"].nunique() > 1:
            fit: Any = stats.linregress(pair["x"], pair["y"])
            ends = np.array([pair["x"].min(), pair["x"].max()])
            axes.plot(ends, fit.intercept + fit.slope * ends, color="#D55E00")
        axes.set_xlabel("estimated severity (higher = worse input)")
        axes.set_ylabel("active experts, mean of layers")
        text = "constant: no correlation" if np.isnan(rho) else _rho_text(rho, p, low, high)
        entitle(drawn, f"{label} on {view.dataset}: {text}")
        return save(drawn, folder, name)


def dimension_bars(view: View, label: str, folder: Path, name: str) -> list[Path]:
    """Spearman's rho of active experts with severity and with each of its seven dimensions."""
    table = correlations(view, label).dropna()
    if table.empty:
        return []
    with figure(height=2.3) as (drawn, axes):
        places = np.arange(len(table))[::-1]
        errors = np.abs(np.array([table["rho"] - table["low"], table["high"] - table["rho"]]))
        tints = ["#D55E00" if by == "severity" else "#0072B2" for by in table["by"]]
        axes.barh(places, table["rho"], color=tints, height=0.62, alpha=0.85)
        axes.errorbar(table["rho"], places, xerr=errors, fmt="none", ecolor="#222222", elinewidth=0.8, capsize=2)
        axes.set_yticks(places, list(table["by"]))
        axes.axvline(0, color="#5b6470", lw=0.7)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("Spearman rho with active experts (95% interval)")
        entitle(drawn, f"{label} on {view.dataset}: what routing follows")
        return save(drawn, folder, name)


def layer_heatmap(view: View, label: str, groups: list[Stratum], folder: Path, name: str) -> list[Path]:
    """Mean active experts of each layer (in order of execution) in each stratum."""
    rows = view.routing.query("label == @label")
    if rows.empty or not groups:
        return []
    means = np.stack([_by_position(rows.query("image in @g.images"), "active") for g in groups])
    with figure(height=0.9 + 0.32 * len(groups)) as (drawn, axes):
        heat = axes.imshow(means, aspect="auto", cmap=HEAT, interpolation="nearest")
        axes.set_yticks(range(len(groups)), [f"{g.name.split()[-1]} (n={len(g.images)})" for g in groups])
        axes.set_ylabel(groups[0].name.split()[0])
        axes.grid(visible=False)
        axes.set_xlabel("adapted layer, in order of execution")
        entitle(drawn, f"{label} on {view.dataset}: active experts by layer")
        drawn.colorbar(heat, ax=axes, pad=0.02, aspect=12).outline.set_visible(False)
        return save(drawn, folder, name)


def zero_share(view: View, label: str, groups: list[Stratum], folder: Path, name: str) -> list[Path]:
    """Share of picked slots that are zero slots, by layer depth, a line for each stratum."""
    rows = view.routing.query("label == @label")
    if rows.empty:
        return []
    everyone = Stratum("all images", "", tuple(rows["image"].unique()))
    shown = groups or [everyone]
    tints = colours([g.name for g in shown])
    with figure(height=2.4) as (drawn, axes):
        for group in shown:
            chosen = rows.query("image in @group.images")
            zero, active = _by_position(chosen, "zero"), _by_position(chosen, "active")
            axes.plot(zero / np.maximum(zero + active, 1e-9), color=tints[group.name], label=group.name, lw=1.1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("adapted layer, in order of execution")
        axes.set_ylabel("zero slots / (zero + active)")
        entitle(drawn, f"{label} on {view.dataset}: slots left empty")
        drawn.legend(loc="outside lower center", ncols=min(len(shown), 3))
        return save(drawn, folder, name)


def _by_position(rows: pd.DataFrame, column: str) -> np.ndarray:
    return np.asarray(rows.groupby("position")[column].mean())


def _rho_text(rho: float, p: float, low: float, high: float) -> str:
    small = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return f"rho = {rho:.2f} [{low:.2f}, {high:.2f}], {small}"
