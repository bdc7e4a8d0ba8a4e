"""Tables of means: one description for Markdown, LaTeX, plain text and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import pandas as pd

from isrbench.harness.api.layout import DEFAULT_LAYOUT, Layout
from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.aligned import AlignedRuns, in_order
from isrbench.reports.arranged import columns
from isrbench.reports.statistics import DRAWS, LEVEL, Cell, Cells
from isrbench.reports.trained_on import trained_on

TRAINED_ON = "‡"
"""Mark of a value by a metric that the method was trained on."""
TRAINED_ON_NOTE = f"{TRAINED_ON} the method was trained on this metric, or on a variant of it: such a value says less"


REPORTED = "Reported by their sources"


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
    trained_on: bool = False
    """Whether the method was trained on the metric."""
    sources: str = ""
    """Of a reported value: the sources that print it, where a row has several; ``[1] < [2]`` where they disagree."""
    spread: str = ""
    """Of a reported value that sources disagree on: each value with its sources, and what was measured here."""


Rows = tuple[tuple[str, tuple[Entry, ...]], ...]
"""(label, an entry for each column)."""


@dataclass(frozen=True)
class Block:
    """Rows of a table that stand together."""

    rows: Rows
    heading: str = ""
    """What stands above them; empty for the rows of one set that were measured."""
    reported: bool = False
    """Whether their sources report them."""


@dataclass(frozen=True)
class Table:
    """A table before it is rendered."""

    title: str
    caption: str
    metrics: tuple[Metric, ...]
    n: int
    rows: Rows
    """Measured."""
    reported: Rows = ()
    """Reported by others, see :mod:`isrbench.reports.tables.reported`: never ranked with the measured ones."""
    notes: tuple[str, ...] = ()
    """Why cells are blank, what was left out, and the sources of reported rows."""
    definitions: tuple[str, ...] = ()
    """How each metric is defined, in a sentence: colour space, border, variant."""
    estimator: str = ""
    """What estimated the severities."""
    legend: str = ""
    """What ``+`` and ``-`` mean, or empty without a baseline."""
    corner: str = "Method"
    """What the rows are: heading of the first column."""
    intervals: bool = True
    """Whether files print intervals below the values."""
    parts: tuple[Table, ...] = ()
    """Of a table over several sets, that of each; all have its columns."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Return the rows as they are printed: those of each set, then what papers report of it."""
        found = []
        for part in self.parts or (self,):
            found.append(Block(part.rows, f"{part.title} ({images_text(part.n)})" if self.parts else ""))
            if part.reported:
                found.append(Block(part.reported, REPORTED, reported=True))
        return tuple(found)


def score_table(
    aligned: AlignedRuns,
    cells: Cells,
    title: str,
    n: int,
    baseline: str | None = None,
    composites: Sequence[Metric] = (),
    blank: Sequence[Metric] = (),
    layout: Layout = DEFAULT_LAYOUT,
) -> Table:
    """Describe the table of ``cells``.

    Args:
        aligned: The runs that the cells come from.
        cells: Of :func:`isrbench.reports.statistics.compare_means`.
        title: What the images are, such as ``RealSR, severity low``.
        n: How many images.
        baseline: Label that significance refers to.
        composites: Further columns: see :func:`isrbench.reports.composites.group_composites`.
        blank: Columns of ``aligned.blank`` that others report.
        layout: The order of the columns, and whether intervals are printed.
    """
    metrics = columns(layout, (*in_order([*aligned.metrics, *blank]), *composites))
    trained = trained_on(aligned)
    no_weights = Entry("–", note="weights unavailable")

    marks = {m.id: _marks([cells[label, m.id] for label in aligned.labels], m) for m in metrics if m not in blank}

    def entry(label: str, metric: Metric) -> Entry:
        if metric in blank:
            return no_weights
        mark = marks[metric.id].get(label, Mark.NONE)
        return _entry(cells[label, metric.id], metric, mark, metric.id in trained[label])

    rows = tuple((label, tuple(entry(label, m) for m in metrics)) for label in aligned.labels)
    blanks = [(label, m, cells[label, m.id]) for label in aligned.labels for m in metrics if m not in blank]
    notes = tuple(f"{label}, {m.title}: {cell.reason}" for label, m, cell in blanks if cell.mean is None)
    notes += aligned.notes
    if any(entry.trained_on for _, entries in rows for entry in entries):
        notes += (TRAINED_ON_NOTE,)
    notes += _unreachable([cell for cell in cells.values() if cell.p is not None], n)
    legend = _legend(baseline) if baseline in aligned.labels else ""
    return Table(
        title=title,
        caption=caption(f"{title}: means over {images_text(n)}", metrics, legend, aligned.estimator, layout.intervals),
        metrics=metrics,
        n=n,
        rows=rows,
        notes=notes,
        definitions=tuple(f"{m.title}: {_definition(m)}" for m in metrics),
        estimator=aligned.estimator,
        legend=legend,
        intervals=layout.intervals,
    )


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


def long_form(
    aligned: AlignedRuns, cells_by_group: Mapping[str, Cells], baseline: str | None, composites: Sequence[Metric] = ()
) -> pd.DataFrame:
    """Return all numbers at full precision, with what they depend on: one row a group, method and metric.

    Columns: dataset (the set's title), group, those of :class:`isrbench.reports.statistics.Cell`, baseline, estimator,
    definition. Rows: those of ``aligned`` and ``composites``.
    """
    definitions = {m.id: _definition(m) for m in (*aligned.metrics, *composites)}
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
        if cell.metric in definitions
    ]
    return pd.DataFrame(rows)


def _definition(metric: Metric) -> str:
    return f"{metric.colour}; {metric.definition}"


def _marks(column: Sequence[Cell], metric: Metric) -> dict[str, Mark]:
    """Return marks by label: means that are printed alike share the better one, and after two best none is second."""
    sign = -1 if metric.direction is Direction.HIGHER else 1
    known = {cell.method: sign * round(cell.mean, metric.decimals) for cell in column if cell.mean is not None}
    better = {label: sum(other < mean for other in known.values()) for label, mean in known.items()}
    return {label: (Mark.BEST, Mark.SECOND)[count] for label, count in better.items() if count < 2}


def _entry(cell: Cell, metric: Metric, mark: Mark, trained_on: bool) -> Entry:
    if cell.mean is None:
        return Entry("–", note=cell.reason)
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
    return Entry(shown(cell.mean, metric), mark, sign, interval, difference, note, cell.mean, trained_on)


def _legend(baseline: str | None) -> str:
    return (
        f"+ / - = significantly better / worse than {baseline} on the same images "
        f"(Wilcoxon signed-rank, Holm over metrics, p < {LEVEL:g})"
    )


def _unreachable(tested: Sequence[Cell], n: int) -> tuple[str, ...]:
    """Return a note where so few images are compared that no difference can be significant, whatever it is.

    The least p of the signed-rank test is 2 / 2^n, where all differences have one sign; Holm's correction takes the
    least of a method's k tests times k.
    """
    if not tested:
        return ()
    tests = min(Counter(cell.method for cell in tested).values())
    least = min(1.0, 2 / 2**n)
    if tests * least < LEVEL:
        return ()
    corrected = f", and {min(1.0, tests * least):.2g} after Holm's correction over {tests} metrics" if tests > 1 else ""
    return (
        f"no p below {LEVEL:g} can be reached with n = {n}: where all differences have one sign, the test gives "
        f"{least:.2g}{corrected}",
    )


def caption(what: str, metrics: Sequence[Metric], legend: str, estimator: str, intervals: bool = True) -> str:
    """Say what a table of means shows.

    Args:
        what: Such as ``RealSR: means over 100 images``.
        metrics: The columns.
        legend: What ``+`` and ``-`` mean, or empty.
        estimator: What estimated the severities.
        intervals: Whether they are printed.
    """
    colours = {m.colour: [o.title for o in metrics if o.colour == m.colour] for m in metrics}
    computed = "; ".join(f"{', '.join(names)} on {colour}" for colour, names in colours.items())
    return (
        f"{what}{f' with bootstrap 95% intervals ({DRAWS:,} resamples)' if intervals else ''}. Arrows point to better "
        f"values; best in bold, second underlined; a mean is blank where an image has no value. "
        f"{f'{legend}. ' if legend else ''}Computed: {computed}. Severity estimator: {estimator}."
    )


def images_text(n: int) -> str:
    """Return ``one image`` or ``5 images``."""
    return "one image" if n == 1 else f"{n} images"
