"""Results that papers report, each with its source: shown apart from what was measured here."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from isrbench.harness.api.registry import metrics, unknown_name
from isrbench.harness.documents import read_csv
from isrbench.harness.errors import UserError

SEEN, ALL = "seen", "all"
"""The shipped rows that were read in their source; these and the second-hand ones."""

Reported: TypeAlias = "bool | str | Path | Iterable[str | Path]"
"""Which reported rows to show: False none, True or ``seen``, ``all``, a CSV file of one's own, or several of these."""

_FILE = Path(__file__).parent / "reported.csv"
_METHODS = Path(__file__).parent / "reported-methods.csv"
_ABLATION = Path(__file__).parent / "reported-ablation.csv"
_SECOND_HAND = "second-hand"
_FACTS = ("dataset", "method", "steps", "provenance", "source")
"""Columns that are no metric."""
_COLUMNS = (
    f"columns: dataset, method and metric ids; and, if you like, steps, source, provenance ({SEEN} or second-hand)"
)


@dataclass(frozen=True)
class ReportedRow:
    """What one source says of one method on one set."""

    dataset: str
    method: str
    steps: str
    """Diffusion steps, or empty."""
    source: str
    """Such as a paper's table."""
    second_hand: bool
    """Whether the source was not read itself, but is quoted by a third party."""
    values: Mapping[str, Decimal]
    """By metric id, with the digits that the source prints."""

    @property
    def label(self) -> str:
        """Return the method with its steps."""
        return f"{self.method}-{self.steps}" if self.steps else self.method


@dataclass(frozen=True)
class ReportedMethod:
    """What is known of a method that papers report on."""

    measured_as: tuple[str, ...] = ()
    """Ids of methods here whose results are to equal the reported ones; one of the same title always counts."""
    trained_on_metrics: tuple[str, ...] = ()
    """Ids of metrics: see :class:`isrbench.harness.api.method.MethodInfo`."""
    source: str = ""
    """Where that is to be seen."""

    def is_measured_by(self, name: str, id: str, title: str) -> bool:
        """Return whether the published method called ``name`` here has this id or title."""
        return title.casefold() == name.casefold() or id in self.measured_as


def reported_rows(reported: Reported) -> tuple[ReportedRow, ...]:
    """Return the rows of a choice, in the order of the files.

    Raises:
        UserError: If a file cannot be read or does not fit.
    """
    if isinstance(reported, bool):
        reported = SEEN if reported else ()
    choices = [reported] if isinstance(reported, str | Path) else list(reported)
    if ALL in choices:
        choices = [choice for choice in choices if choice != SEEN]
    found: list[ReportedRow] = []
    for choice in dict.fromkeys(choices):
        if choice in (SEEN, ALL):
            found += [row for row in _shipped() if choice == ALL or not row.second_hand]
        else:
            found += _own(Path(choice))
    return tuple(found)


@cache
def reported_methods() -> dict[str, ReportedMethod]:
    """Return what is known of methods, by the name that reported rows have."""
    with _METHODS.open(encoding="utf-8", newline="") as file:
        return {
            row["method"]: ReportedMethod(
                tuple(row["measured_as"].split()), tuple(row["trained_on_metrics"].split()), row["source"]
            )
            for row in csv.DictReader(file)
        }


def reported_ablation() -> pd.DataFrame:
    """Return what MoR-SR's paper reports of its ablation, in long form and the paper's order.

    Columns: dataset, variant (as ``isrbench tools ablate`` names it), title (the paper's), metric (an id, whether
    isrbench has such a metric or not), metric_title, value, source.
    """
    return pd.read_csv(_ABLATION)


@cache
def _shipped() -> tuple[ReportedRow, ...]:
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_row(line) for line in csv.DictReader(file))


def _own(file: Path) -> list[ReportedRow]:
    """Read a user's file.

    Raises:
        UserError: If it is absent, no CSV file of these columns, or a row of it does not fit.
    """
    if file.suffix.lower() != ".csv":
        raise UserError(f"unknown choice of reported rows: {file}", f"choose {SEEN}, {ALL} or a CSV file")
    columns, lines = read_csv(file, _COLUMNS, strict=True)
    _check_columns(file, columns)
    rows = [(_own_row(file, number, line), number) for number, line in lines]
    seen: dict[tuple[str, ...], int] = {}
    for row, line in rows:
        key = (row.dataset, row.label, row.source, str(row.second_hand))
        if seen.setdefault(key, line) != line:
            raise UserError(
                f"{file}, lines {seen[key]} and {line}: {row.label} on {row.dataset} twice of one source",
                "put their values into one line, or name the source of each",
            )
    return [row for row, _ in rows]


def _check_columns(file: Path, names: Sequence[str]) -> None:
    for needed in ("dataset", "method"):
        if needed not in names:
            raise UserError(f"{file} has no column {needed}", _COLUMNS)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{file} has two columns {twice[0]}", "remove one of them")
    known = {*_FACTS, *metrics(), *(id for row in _shipped() for id in row.values)}
    for name in names:
        if name not in known:
            raise UserError(f"{file}: {unknown_name('column', name, sorted(known))}", _COLUMNS)


def _own_row(file: Path, line: int, texts: Mapping[str, str]) -> ReportedRow:
    try:
        return _row({**texts, "source": texts.get("source") or file.name})
    except ValueError as error:
        raise UserError(f"{file}, line {line}: {error}", "correct the line") from error


def _row(texts: Mapping[str, str]) -> ReportedRow:
    """Make a row of texts by column.

    Raises:
        ValueError: If they do not fit.
    """
    if None in texts or None in texts.values():
        raise ValueError("it has more or fewer cells than there are columns")
    cells = {name: text.strip() for name, text in texts.items()}
    for needed in ("dataset", "method"):
        if not cells[needed]:
            raise ValueError(f"{needed} is empty")
    provenance = cells.get("provenance") or SEEN
    if provenance not in (SEEN, _SECOND_HAND):
        raise ValueError(f"provenance is {provenance!r}, not {SEEN} or {_SECOND_HAND}")
    values = {name: _number(name, text) for name, text in cells.items() if name not in _FACTS and text}
    return ReportedRow(
        cells["dataset"], cells["method"], cells.get("steps", ""), cells["source"], provenance == _SECOND_HAND, values
    )


def _number(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{name} is {text!r}, not a number") from None
    if not number.is_finite():
        raise ValueError(f"{name} is {text!r}, not a finite number")
    return number
