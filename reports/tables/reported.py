"""Reported rows as a part of a table: one row a method, with the spread of what its sources say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from isrbench.harness.api.metric import Metric
from isrbench.reports.aligned import AlignedRuns, on_tiny_weights
from isrbench.reports.reported import ReportedMethod, ReportedRow, reported_methods
from isrbench.reports.statistics import Cells
from isrbench.reports.tables.table import TRAINED_ON_NOTE, Entry, Table, shown

SECOND_HAND = "†"
_SECOND_HAND = f"{SECOND_HAND} second-hand: the source itself was not read, a third party quotes it"
_SPREAD = (
    "where sources disagree, a cell shows the lowest and the highest value, then the sources from low to high; "
    "“here” is what was measured here"
)


def with_reported(table: Table, rows: Sequence[ReportedRow], aligned: AlignedRuns, cells: Cells) -> Table:
    """Return ``table`` with what papers report of its metrics, the sources among its notes.

    Rows of one method with one number of steps become one. Two sources agree on a value if both are the same once they
    are rounded to the digits of the one that prints fewer. Digits are shown as printed, but never more than the
    metric's own.

    Args:
        table: Of the measured methods over all images of the set.
        rows: Of this set; those without a value of the table's metrics are left out.
        aligned: The measured runs.
        cells: Their means.
    """
    ids = {metric.id for metric in table.metrics}
    rows = [row for row in rows if ids & set(row.values)]
    places: dict[tuple[str, bool], str] = {}
    for row in rows:
        places.setdefault((row.source, row.second_hand), f"{len(places) + 1}{SECOND_HAND if row.second_hand else ''}")
    found: list[tuple[str, tuple[Entry, ...]]] = []
    for label in dict.fromkeys(row.label for row in rows):
        own = {places[row.source, row.second_hand]: row for row in rows if row.label == label}
        method = next(iter(own.values())).method
        measured = list(_measured(method, aligned))
        trained = reported_methods().get(method, ReportedMethod()).trained_on_metrics
        means = {m.id: [cells[name, m.id].mean for name in measured if (name, m.id) in cells] for m in table.metrics}
        own_entries = tuple(_entry(own, m, means[m.id], m.id in trained) for m in table.metrics)
        found.append((f"{label} [{', '.join(own)}]", own_entries))
    entries = [entry for _, own in found for entry in own]
    notes = [f"[{place}] {source}" for (source, _), place in places.items()]
    notes += [_SECOND_HAND] if any(row.second_hand for row in rows) else []
    notes += [_SPREAD] if any(entry.spread for entry in entries) else []
    if any(entry.trained_on for entry in entries) and TRAINED_ON_NOTE not in table.notes:
        notes.append(TRAINED_ON_NOTE)
    return replace(table, reported=tuple(found), notes=(*table.notes, *notes))


def _measured(method: str, aligned: AlignedRuns) -> Iterator[str]:
    """Yield labels of runs of a reported method; on the tiny weights it is not what the papers are about."""
    known = reported_methods().get(method, ReportedMethod())
    for label, run in aligned.runs.iterrows():
        same = known.is_measured_by(method, str(run["method"]), str(run["title"]))
        if same and not on_tiny_weights(str(run["variant"])):
            yield str(label)


def _entry(rows: dict[str, ReportedRow], metric: Metric, here: Sequence[float | None], trained_on: bool) -> Entry:
    """Make the entry of one method.

    Args:
        rows: Source's number -> what it reports.
        metric: The column.
        here: Means that were measured here.
        trained_on: Whether the method was trained on the metric.
    """
    printed = {place: row.values[metric.id] for place, row in rows.items() if metric.id in row.values}
    groups = _groups({place: _rounded(value, metric.decimals) for place, value in printed.items()})
    if not groups:
        return Entry("–", note="not reported")
    places = [f"[{', '.join(place for place in rows if place in group)}]" for group in groups]
    if len(groups) == 1:
        value = max(groups[0].values(), key=_digits)
        note = f"as reported by {places[0]}"
        sources = places[0] if len(rows) > 1 else ""
        return Entry(f"{value}", sources=sources, note=note, value=float(value), trained_on=trained_on)
    means = ", ".join(shown(mean, metric) for mean in here if mean is not None)
    sources = " < ".join(places) + (f"; here {means}" if means else "")
    each = ", ".join(f"{min(group.values())} {place}" for group, place in zip(groups, places, strict=True))
    spread = each + (f", here {means}" if means else "")
    lowest, highest = min(groups[0].values(), key=_order), max(groups[-1].values(), key=_order)
    note = f"sources disagree: {spread}"
    return Entry(f"{lowest}–{highest}", sources=sources, note=note, spread=spread, trained_on=trained_on)


def _groups(values: Mapping[str, Decimal]) -> list[dict[str, Decimal]]:
    """Put sources that agree together, from low to high: source's number -> value."""
    groups: list[dict[str, Decimal]] = []
    for place, value in sorted(values.items(), key=lambda item: item[1]):
        if groups and all(_agree(other, value) for other in groups[-1].values()):
            groups[-1][place] = value
        else:
            groups.append({place: value})
    return groups


def _order(value: Decimal) -> tuple[Decimal, int]:
    """Put ``25.20`` above ``25.2``: of equal values an end of a range shows the digits that were printed."""
    return value, _digits(value)


def _digits(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _rounded(value: Decimal, digits: int) -> Decimal:
    return round(value, min(digits, _digits(value))) if _digits(value) else value


def _agree(one: Decimal, other: Decimal) -> bool:
    digits = min(_digits(one), _digits(other))
    return round(one, digits) == round(other, digits)
