"""Tables of means: what a paper, a README and a terminal need, from one description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pandas as pd

from isrbench.harness.api.metric import Metric
from isrbench.reports.comparison import View
from isrbench.reports.statistics import DRAWS, LEVEL, Cell


class Mark(Enum):
    """How a mean stands among its column."""

    BEST = "best"
    SECOND = "second"
    NONE = "none"


@dataclass(frozen=True)
class Entry:
    """One cell as it is shown."""

    text: str
    mark: Mark = Mark.NONE
    sign: str = ""
    """``+`` significantly better than the baseline, ``-`` significantly worse, or empty."""
    interval: str = ""
    """95% interval of the mean, such as ``[25.02, 25.28]``."""
    difference: tuple[str, ...] = ()
    """Mean paired difference to the baseline, its interval, and Holm's p; or nothing."""
    note: str = ""
    """Why it is blank, or all of the above in a sentence."""
    value: float | None = None
    """The mean at full precision."""


@dataclass(frozen=True)
class Table:
    """A table before it is rendered."""

    title: str
    caption: str
    metrics: tuple[Metric, ...]
    n: int
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    """Measured: (label, an entry for each metric)."""
    reported: tuple[tuple[str, tuple[Entry, ...]], ...] = ()
    """Reported by others: never ranked with the measured ones."""
    notes: tuple[str, ...] = ()
    """Why cells are blank, and the sources of reported rows."""
    protocols: tuple[str, ...] = ()
    """A sentence for each metric: colour space, border, variant."""
    estimator: str = ""
    """What estimated the severities."""
    legend: str = ""
    """What ``+`` and ``-`` mean, or empty without a baseline."""


def score_table(
    view: View,
    cells: Mapping[tuple[str, str], Cell],
    title: str,
    n: int,
    baseline: str | None = None,
    reported: pd.DataFrame | None = None,
) -> Table:
    """Describe the table of ``cells`` (:func:`isrbench.reports.statistics.compare`).

    Args:
        view: The runs that the cells come from.
        cells: One for each (label, metric id).
        title: What the images are, such as ``RealSR, severity low``.
        n: How many images.
        baseline: Label that significance refers to.
        reported: Rows of :func:`isrbench.reports.reported.reported_rows`, or None.
    """
    rows = tuple((label, tuple(_entry(cells[label, m.id], m) for m in view.metrics)) for label in view.labels)
    blanks = [(label, m, cells[label, m.id]) for label in view.labels for m in view.metrics]
    notes = tuple(f"{label}, {m.title}: {cell.reason}" for label, m, cell in blanks if cell.mean is None) + view.notes
    others: tuple[tuple[str, tuple[Entry, ...]], ...] = ()
    if reported is not None and len(reported):
        sources = {source: place + 1 for place, source in enumerate(reported["source"].unique())}
        others = tuple(_reported(row, sources[row["source"]], view.metrics) for _, row in reported.iterrows())
        notes += tuple(f"[{place}] {source}" for source, place in sources.items())
    protocols = tuple(f"{m.title}: {m.colour}; {m.definition}" for m in view.metrics)
    legend = _legend(baseline) if baseline in view.labels else ""
    return Table(
        title, _caption(view, title, n, legend), view.metrics, n, rows, others, notes, protocols, view.estimator, legend
    )


def heading(metric: Metric) -> str:
    """A metric's column heading: title, unit and arrow."""
    return f"{metric.title}{f' ({metric.unit})' if metric.unit else ''} {metric.direction.arrow}"


def shown(value: float, metric: Metric) -> str:
    """A value with the digits that the field prints; infinity as its sign."""
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{metric.decimals}f}"


def p_text(p: float) -> str:
    """``p = 0.012`` or ``p < 0.001``, with spaces that no line breaks at."""
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.3f}"


def as_csv(
    view: View, cells_by_group: Mapping[str, Mapping[tuple[str, str], Cell]], baseline: str | None
) -> pd.DataFrame:
    """All numbers at full precision, with what they depend on: one row a group, method and metric."""
    protocols = {m.id: f"{m.colour}; {m.definition}" for m in view.metrics}
    rows = [
        {
            "dataset": view.title,
            "group": group,
            **vars(cell),
            "baseline": baseline,
            "estimator": view.estimator,
            "protocol": protocols[cell.metric],
        }
        for group, cells in cells_by_group.items()
        for cell in cells.values()
    ]
    return pd.DataFrame(rows)


def _entry(cell: Cell, metric: Metric) -> Entry:
    if cell.mean is None:
        return Entry("–", note=cell.reason)
    mark = {1: Mark.BEST, 2: Mark.SECOND}.get(cell.rank or 0, Mark.NONE)
    sign = {True: "+", False: "-", None: ""}[cell.better]
    interval = note = ""
    difference: tuple[str, ...] = ()
    if cell.low is not None and cell.high is not None:
        interval = f"[{shown(cell.low, metric)}, {shown(cell.high, metric)}]"
        note = f"95% interval {interval}, n = {cell.n}"
    if cell.difference is not None and cell.p_holm is not None:
        shifts = (cell.difference, cell.difference_low or 0.0, cell.difference_high or 0.0)
        middle, low, high = (f"{shift:+.{metric.decimals}f}".replace("-", "−") for shift in shifts)
        difference = (middle, f"[{low}, {high}]", p_text(cell.p_holm))
        note += f"; {' '.join(difference)} against the baseline"
    return Entry(shown(cell.mean, metric), mark, sign, interval, difference, note, cell.mean)


def _reported(row: pd.Series, source: int, metrics: Sequence[Metric]) -> tuple[str, tuple[Entry, ...]]:
    values: dict[Any, Any] = row.dropna().to_dict()
    blank = Entry("–", note="not reported")
    entries = tuple(
        Entry(shown(values[m.id], m), note="as reported", value=values[m.id]) if m.id in values else blank
        for m in metrics
    )
    return f"{row['method']}-{row['steps']} [{source}]", entries


def _legend(baseline: str | None) -> str:
    return (
        f"+ / - = significantly better / worse than {baseline} on the same images "
        f"(Wilcoxon signed-rank, Holm over metrics, p < {LEVEL:g})"
    )


def _caption(view: View, title: str, n: int, legend: str) -> str:
    colours = {m.colour: [o.title for o in view.metrics if o.colour == m.colour] for m in view.metrics}
    protocol = "; ".join(f"{', '.join(names)} on {colour}" for colour, names in colours.items())
    images = "one image" if n == 1 else f"{n} images"
    return (
        f"{title}: means over {images} with bootstrap 95% intervals ({DRAWS:,} resamples). Arrows point to better "
        f"values; best in bold, second underlined; a mean with a missing part is blank. "
        f"{f'{legend}. ' if legend else ''}Protocol: {protocol}. Severity estimator: {view.estimator}."
    )
