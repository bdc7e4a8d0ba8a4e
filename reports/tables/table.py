"""Tables of means: one description for Markdown, LaTeX, plain text and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pandas as pd

from isrbench.harness.api.metric import Metric
from isrbench.reports.aligned import AlignedRuns, in_order
from isrbench.reports.statistics import DRAWS, LEVEL, Cell, Cells


class Mark(Enum):
    """How a mean ranks in its column."""

    BEST = "best"
    SECOND = "second"
    NONE = "none"


@dataclass(frozen=True)
class Entry:
    """One cell as it is printed."""

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
    """Why cells are blank, what was left out, and the sources of reported rows."""
    definitions: tuple[str, ...] = ()
    """How each metric is defined, in a sentence: colour space, border, variant."""
    estimator: str = ""
    """What estimated the severities."""
    legend: str = ""
    """What ``+`` and ``-`` mean, or empty without a baseline."""


def score_table(
    aligned: AlignedRuns,
    cells: Cells,
    title: str,
    n: int,
    baseline: str | None = None,
    reported: pd.DataFrame | None = None,
) -> Table:
    """Describe the table of ``cells``.

    Args:
        aligned: The runs that the cells come from.
        cells: Of :func:`isrbench.reports.statistics.compare_means`.
        title: What the images are, such as ``RealSR, severity low``.
        n: How many images.
        baseline: Label that significance refers to.
        reported: Rows of :func:`isrbench.reports.reported.reported_rows`, or None.
    """
    metrics = _columns(aligned, reported)
    no_weights = Entry("–", note="weights unavailable")
    rows = tuple(
        (label, tuple(_entry(cells[label, m.id], m) if m in aligned.metrics else no_weights for m in metrics))
        for label in aligned.labels
    )
    blanks = [(label, m, cells[label, m.id]) for label in aligned.labels for m in aligned.metrics]
    notes = tuple(f"{label}, {m.title}: {cell.reason}" for label, m, cell in blanks if cell.mean is None)
    notes += aligned.notes
    others: tuple[tuple[str, tuple[Entry, ...]], ...] = ()
    if reported is not None and len(reported):
        sources = {source: place + 1 for place, source in enumerate(reported["source"].unique())}
        others = tuple(_reported(row, sources[row["source"]], metrics) for _, row in reported.iterrows())
        notes += tuple(f"[{place}] {source}" for source, place in sources.items())
    legend = _legend(baseline) if baseline in aligned.labels else ""
    return Table(
        title=title,
        caption=_caption(aligned, metrics, title, n, legend),
        metrics=metrics,
        n=n,
        rows=rows,
        reported=others,
        notes=notes,
        definitions=tuple(f"{m.title}: {_definition(m)}" for m in metrics),
        estimator=aligned.estimator,
        legend=legend,
    )


def _columns(aligned: AlignedRuns, reported: pd.DataFrame | None) -> tuple[Metric, ...]:
    """Return the metrics that have a value: measured, or, for want of weights, reported by others alone."""
    known = set() if reported is None else set(reported.columns[reported.notna().any()])
    return in_order([*aligned.metrics, *(m for m in aligned.blank if m.id in known)])


def heading(metric: Metric) -> str:
    """Return a metric's column heading: title, unit and arrow."""
    return f"{metric.title}{f' ({metric.unit})' if metric.unit else ''} {metric.direction.arrow}"


def shown(value: float, metric: Metric) -> str:
    """Return a value with the digits that the field prints; infinity as its sign."""
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{metric.decimals}f}"


def p_text(p: float) -> str:
    """Return ``p = 0.012`` or ``p < 0.001``, with no-break spaces."""
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.3f}"


def long_form(aligned: AlignedRuns, cells_by_group: Mapping[str, Cells], baseline: str | None) -> pd.DataFrame:
    """Return all numbers at full precision, with what they depend on: one row a group, method and metric.

    Columns: dataset (the set's title), group, those of :class:`isrbench.reports.statistics.Cell`, baseline, estimator,
    definition.
    """
    definitions = {m.id: _definition(m) for m in aligned.metrics}
    rows = [
        {
            "dataset": aligned.title,
            "group": group,
            **vars(cell),
            "baseline": baseline,
            "estimator": aligned.estimator,
            "definition": definitions[cell.metric],
        }
        for group, cells in cells_by_group.items()
        for cell in cells.values()
    ]
    return pd.DataFrame(rows)


def _definition(metric: Metric) -> str:
    return f"{metric.colour}; {metric.definition}"


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


def _caption(aligned: AlignedRuns, metrics: Sequence[Metric], title: str, n: int, legend: str) -> str:
    colours = {m.colour: [o.title for o in metrics if o.colour == m.colour] for m in metrics}
    computed = "; ".join(f"{', '.join(names)} on {colour}" for colour, names in colours.items())
    images = "one image" if n == 1 else f"{n} images"
    return (
        f"{title}: means over {images} with bootstrap 95% intervals ({DRAWS:,} resamples). Arrows point to better "
        f"values; best in bold, second underlined; a mean is blank where an image has no value. "
        f"{f'{legend}. ' if legend else ''}Computed: {computed}. Severity estimator: {aligned.estimator}."
    )
