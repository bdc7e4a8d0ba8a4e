"""One style for every plot: colour-blind safe, readable at a paper's column width, PNG, PDF and SVG, light and dark."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLUMN = 3.4
"""Width of a paper's column, inches."""
INK = "#222222"
GREY = "#5b6470"
RING = "#c8ced6"
"""Thin rings round points of a colour map: visible on both backgrounds."""
BLUE, ORANGE = "#0072b2", "#d55e00"
_COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
"""Okabe and Ito's palette (jfly.uni-koeln.de/color), strongest contrasts first, yellow left out, one brown added."""
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

HEAT = "cividis"
"""Sequential map that keeps its order in grey and for every kind of colour vision."""

_GRID = "#e3e6ea"
_DARK = {
    "#ffffff": "#181c22", INK: "#e8ebef", GREY: "#9aa5b1", _GRID: "#2b323b", "#9aa3ad": "#77818c",
    BLUE: "#4aa8e0", ORANGE: "#f0803c", "#009e73": "#2fc59a", "#cc79a7": "#e29cc3", "#e69f00": "#f2b632",
    "#56b4e9": "#8fd0f5", "#000000": "#c9d1d9", "#8c6d31": "#c3a05a",
}  # fmt: skip
"""Colour on paper -> on the page's dark background."""

RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "text.color": INK,
    # Titles and labels come from users: a dollar sign is a dollar sign.
    "text.parse_math": False,
    "axes.labelsize": 7.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
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
    "pdf.fonttype": 42,  # TrueType: conferences refuse Type 3 fonts
    "svg.hashsalt": "isrbench",
}


_DENSE = 500


def colours(labels: Sequence[str] | Mapping[str, int]) -> dict[str, str]:
    """Return a colour for each label by its place (given, or in the sequence); colours repeat after eight."""
    return {label: _COLOURS[place % len(_COLOURS)] for label, place in _placed(labels).items()}


def markers(labels: Sequence[str] | Mapping[str, int]) -> dict[str, str]:
    """Return a marker for each label, so that methods differ by more than colour."""
    return {
        label: _MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)] for label, place in _placed(labels).items()
    }


def dense(points: int) -> bool:
    """Return whether so many points are a picture inside of a vector file: each for itself they make megabytes."""
    return points > _DENSE


@dataclass(frozen=True)
class Plot:
    """One plot that was drawn."""

    files: tuple[Path, ...]
    """PNG, SVG, SVG for a dark background, and PDF."""
    text: str
    """What it shows."""


@dataclass(frozen=True)
class Target:
    """Where a plot goes."""

    folder: Path
    name: str
    """Of its files, without an ending."""
    titles: bool = False
    """Whether the plot has its title inside: in a paper and on the page it stands below."""


@contextmanager
def figure(width: float = COLUMN, height: float = 2.5) -> Iterator[tuple[Figure, Axes]]:
    """Yield an empty figure in this style, without the global state of pyplot."""
    with panels(1, 1, width, height) as (drawn, axes):
        yield drawn, axes[0]


@contextmanager
def panels(
    rows: int, columns: int, width: float = COLUMN, height: float = 2.5, **options: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Yield an empty figure with several axes, row by row; ``options`` are those of ``Figure.subplots``."""
    with mpl.rc_context(RC):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn, list(drawn.subplots(rows, columns, squeeze=False, **options).flatten())


def legend_below(drawn: Figure, entries: Mapping[str, Artist]) -> None:
    """Put a legend below the figure, in as many columns as names of that length leave room for."""
    longest = max(map(len, entries), default=1)
    columns = max(1, min(len(entries), int(drawn.get_figwidth() * 17 / (longest + 6)), 4))
    # matplotlib leaves out labels that begin with an underscore.
    names = [f" {name}" if name.startswith("_") else name for name in entries]
    drawn.legend(
        list(entries.values()), names, loc="outside lower center", ncols=columns, handlelength=1.6, columnspacing=1.2
    )


def save(drawn: Figure, to: Target, title: str) -> list[Path]:
    """Write ``NAME.png``, ``.svg``, ``.dark.svg`` and ``.pdf``, without dates: the same rows give the same bytes.

    Args:
        drawn: A figure of :func:`figure` or :func:`panels`.
        to: Where the files go.
        title: What it shows; drawn where ``to`` asks for titles.
    """
    if to.titles:
        _entitle(drawn, title)
    to.folder.mkdir(parents=True, exist_ok=True)
    png, svg, dark, pdf = (to.folder / f"{to.name}{ending}" for ending in (".png", ".svg", ".dark.svg", ".pdf"))
    _draw(drawn, FigureCanvasAgg, png, {"Software": None})
    _draw(drawn, FigureCanvasSVG, svg, {"Date": None, "Creator": None})
    _draw(drawn, FigureCanvasPdf, pdf, {"CreationDate": None, "Creator": None})
    # Drawn once: on the dark background only colours differ.
    light = svg.read_text(encoding="utf-8")
    dark.write_text(
        re.sub(r"(?<=: )#[0-9a-f]{6}\b", lambda found: _DARK.get(found[0], found[0]), light), encoding="utf-8"
    )
    return [png, svg, dark, pdf]


def _entitle(drawn: Figure, text: str) -> None:
    """Put a title above the whole figure, from its left edge, on as many lines as it needs."""
    letters = round(drawn.get_figwidth() * 15.5)
    # textwrap keeps no-break spaces, so that "p < 0.001" stays on one line.
    drawn.suptitle("\n".join(textwrap.wrap(text, letters)), x=0.012, ha="left", fontsize=8, fontweight="bold")


def _draw(drawn: Figure, canvas: type[FigureCanvasBase], path: Path, metadata: Mapping[str, None]) -> None:
    """Lay a figure out for the kind of file and write it.

    ``savefig`` gives the same bytes, but draws everything once more in order to lay it out.
    """
    drawn.set_dpi(mpl.rcParams["savefig.dpi"])
    canvas(drawn)
    layout = drawn.get_layout_engine()
    assert layout is not None
    layout.execute(drawn)
    drawn.set_layout_engine(None)
    drawn.savefig(path, metadata=metadata)
    drawn.set_layout_engine(layout)


def short(label: str) -> str:
    """Return a label that fits beside other words."""
    return label if len(label) <= 24 else f"{label[:23]}…"


def _placed(labels: Sequence[str] | Mapping[str, int]) -> Mapping[str, int]:
    return labels if isinstance(labels, Mapping) else {label: place for place, label in enumerate(labels)}
