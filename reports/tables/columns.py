"""Tables under other columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from isrbench.harness.api.metric import Metric
from isrbench.reports.tables.table import Entry, Rows, Table


def without_blank_columns(table: Table) -> Table:
    """Return a table without the columns that hold no value, and with one note that names them and says why."""
    rows = (*table.rows, *table.reported)
    kept = [place for place in range(len(table.metrics)) if any(entries[place].text != "–" for _, entries in rows)]
    blank = [place for place in range(len(table.metrics)) if place not in kept]
    if not kept or not blank:
        return table
    said = {f"{label}, {table.metrics[p].title}: {entries[p].note}" for label, entries in table.rows for p in blank}
    why = [
        f"{table.metrics[p].title} ({'; '.join(dict.fromkeys(entries[p].note for _, entries in table.rows))})"
        for p in blank
    ]
    notes = (f"left out, without any value: {', '.join(why)}", *(note for note in table.notes if note not in said))
    return with_columns(replace(table, notes=notes), tuple(table.metrics[place] for place in kept))


def with_columns(table: Table, metrics: Sequence[Metric], missing: str = "") -> Table:
    """Return a table under other columns, in their order.

    Args:
        table: Any.
        metrics: The columns.
        missing: Why a column that the table lacks is blank.
    """
    places = {metric.id: place for place, metric in enumerate(table.metrics)}
    blank = Entry("–", note=missing)

    def cut(rows: Rows) -> Rows:
        return tuple(
            (label, tuple(own[places[m.id]] if m.id in places else blank for m in metrics)) for label, own in rows
        )

    said = dict(zip(places, table.definitions, strict=True)) if table.definitions else {}
    definitions = tuple(said[metric.id] for metric in metrics if metric.id in said)
    return replace(
        table, metrics=tuple(metrics), rows=cut(table.rows), reported=cut(table.reported), definitions=definitions
    )
