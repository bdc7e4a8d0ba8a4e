"""One table over several sets: the first table of most papers."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.harness.api.metric import Metric
from isrbench.reports.tables.columns import with_columns
from isrbench.reports.tables.table import Table, caption, images_text


def join_sets(tables: Sequence[Table]) -> Table:
    """Return one table over the tables of several sets: a block of rows a set, under the columns that any of them has.

    Args:
        tables: Over all images of their set, at least two.
    """
    metrics = _columns(tables)
    parts = tuple(with_columns(table, metrics, "not run on this set") for table in tables)
    title = ", ".join(table.title for table in tables)
    counts = [images_text(table.n) for table in tables]
    what = f"{title}: means over {', '.join(counts[:-1])} and {counts[-1]}"
    legend = next((table.legend for table in tables if table.legend), "")
    estimator = ", ".join(dict.fromkeys(table.estimator for table in tables))
    intervals = tables[0].intervals
    return Table(
        title=title,
        caption=caption(what, metrics, legend, estimator, intervals),
        metrics=metrics,
        n=sum(table.n for table in tables),
        rows=tuple(row for part in parts for row in part.rows),
        notes=_notes(tables),
        definitions=tuple(dict.fromkeys(text for table in tables for text in table.definitions)),
        estimator=estimator,
        legend=legend,
        intervals=intervals,
        parts=parts,
    )


def _columns(tables: Sequence[Table]) -> tuple[Metric, ...]:
    """Return all columns, each behind the one that it follows in its table; a mark in any set's title stays."""
    found: list[Metric] = []
    for table in tables:
        place = 0
        for metric in table.metrics:
            ids = [other.id for other in found]
            if metric.id in ids:
                place = ids.index(metric.id)
                if len(metric.title) > len(found[place].title):
                    found[place] = metric
            else:
                found.insert(place, metric)
            place += 1
    return tuple(found)


def _notes(tables: Sequence[Table]) -> tuple[str, ...]:
    """Return the notes that all tables have, then those of each under its title."""
    shared = [note for note in tables[0].notes if all(note in table.notes for table in tables)]
    own = [f"{table.title}: {note}" for table in tables for note in table.notes if note not in shared]
    return (*shared, *own)
