"""One look for every plot: colour-blind safe, readable at a paper's column width, PNG and SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMN = 3.4
"""Width of a paper's column, inches."""
_GREY = "#5b6470"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
"""Okabe and Ito's palette (jfly.uni-koeln.de/color), strongest contrasts first, yellow left out, one brown added."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

HEAT = "cividis"
"""Sequential map that keeps its order in grey and for every kind of colour vision."""

_RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.edgecolor": _GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.5,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "isrbench",
}


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label, by its place; they repeat after eight, where markers still tell them apart."""
    return {label: _COLOURS[place % len(_COLOURS)] for place, label in enumerate(labels)}


def markers(labels: Sequence[str]) -> dict[str, str]:
    """A marker for each label: nobody has to tell methods apart by colour alone."""
    return {label: _MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)] for place, label in enumerate(labels)}


@contextmanager
def figure(width: float = COLUMN, height: float = 2.5) -> Iterator[tuple[Figure, Axes]]:
    """An empty figure in the house style, without the global state of pyplot."""
    with mpl.rc_context(_RC):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn, drawn.add_subplot()


def entitle(drawn: Figure, text: str) -> None:
    """Put a title over the whole figure, from its left edge, on as many lines as it needs."""
    letters = round(drawn.get_figwidth() * 15.5)
    drawn.suptitle("\n".join(textwrap.wrap(text, letters)), x=0.012, ha="left", fontsize=8, fontweight="bold")


def save(drawn: Figure, folder: Path, name: str) -> list[Path]:
    """Write ``name.png`` and ``name.svg``, without dates, so that the same rows give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    drawn.savefig(paths[0], metadata={"Software": None})
    drawn.savefig(paths[1], metadata={"Date": None, "Creator": None})
    return paths
