"""Tables as Markdown and plain text; LaTeX is in :mod:`isrbench.reports.tables.latex`."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from tabulate import tabulate

from isrbench.reports.tables.table import TRAINED_ON, Entry, Mark, Table, heading

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]|#~$@!])|(?<=[a-z])(:)(?=//)|(?<=www)(\.)", re.IGNORECASE)
"""Letters that have a meaning on GitHub: emphasis, links, cells, mathematics, mentions, and addresses that it links."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_KEPT = "\ue000"
"""Stands for a space at a cell's end, which tabulate would strip: a private-use letter, which no text has."""
_WIDTH = 100
_GAP = 4
"""Columns between two columns: two of tabulate, and the two that it adds to a head at the most."""


def markdown(table: Table) -> str:
    """Return GitHub Markdown: best bold, second underlined, intervals below the means, caption and notes at the end."""
    if not table.rows:
        return f"### {md_text(table.title)}\n\n{md_text(table.caption)}\n"
    rows = []
    for block in table.blocks:
        if block.heading and not block.reported:
            rows.append([f"**{md_text(block.heading)}**", *("" for _ in table.metrics)])
        mark = "*" if block.reported else ""
        shown = partial(_md_entry, intervals=table.intervals)
        rows += [[f"{mark}{md_text(label)}{mark}", *map(shown, entries)] for label, entries in block.rows]
    body = tabulate(
        rows,
        headers=[table.corner, *(md_text(heading(metric)) for metric in table.metrics)],
        tablefmt="pipe",
        colalign=("left", *("right" for _ in table.metrics)),
        disable_numparse=True,
    )
    reported = any(block.reported for block in table.blocks)
    apart = ["", "Rows in italics are reported by their sources, not measured here."] if reported else []
    notes = ["", *(f"- {md_text(note)}" for note in table.notes)] if table.notes else []
    return "\n".join([f"### {md_text(table.title)}", "", body, "", md_text(table.caption), *apart, *notes]) + "\n"


def markdown_document(tables: Sequence[Table]) -> str:
    """Return the tables as Markdown, then how each metric is defined."""
    defined = dict.fromkeys(text for table in tables for text in table.definitions)
    listed = ["### How each metric is defined", "", *(f"- {md_text(text)}" for text in defined)]
    return "\n".join([*map(markdown, tables), "\n".join(listed) + "\n"])


def notes_once(tables: Sequence[Table]) -> Iterator[Table]:
    """Yield the tables of one set, which stand below each other, without the notes that one before has."""
    said: set[str] = set()
    for table in tables:
        yield replace(table, notes=tuple(note for note in table.notes if note not in said))
        said.update(table.notes)


def plain_text(table: Table, width: int | None = None) -> str:
    """Return a table for terminals: ``*`` best, ``_`` second, ``+`` and ``-`` against the baseline; digits line up.

    Columns that a terminal of ``width`` has no room for stand below the others, beside the methods once more.
    """
    notes = _WIDTH if width is None else min(_WIDTH, width)
    if not table.rows:
        return "".join(f"{line}\n" for text in (table.title, table.caption) for line in _wrapped(_plain(text), notes))
    marks = {Mark.BEST: "*", Mark.SECOND: "_", Mark.NONE: _KEPT}
    any_trained_on = any(entry.trained_on for _, entries in (*table.rows, *table.reported) for entry in entries)

    def cell(entry: Entry) -> str:
        trained_on = "" if not any_trained_on else TRAINED_ON if entry.trained_on else _KEPT
        return f"{entry.text}{marks[entry.mark]}{entry.sign or _KEPT}{trained_on}"

    rows = [[label, *map(cell, entries)] for label, entries in table.rows]
    rows += [[f"reported: {label}", *map(cell, entries)] for label, entries in table.reported]
    room = _KEPT * (3 if any_trained_on else 2)
    heads = [table.corner.lower(), *(f"{heading(metric)}{room}" for metric in table.metrics)]
    body = _columns([heads, *([_plain(text) for text in row] for row in rows)], width)
    legend = [
        *(
            ["* = best, _ = second"]
            if any(entry.mark is not Mark.NONE for _, own in table.rows for entry in own)
            else []
        ),
        *([table.legend] if table.legend else []),
        f"severity estimator: {table.estimator}",
    ]
    disagreeing = [
        f"sources disagree on {label}: {'; '.join(found)}"
        for label, entries in table.reported
        if (found := [f"{m.title} {e.spread}" for m, e in zip(table.metrics, entries, strict=True) if e.spread])
    ]
    below = [line for text in ("; ".join(legend), *table.notes, *disagreeing) for line in _wrapped(_plain(text), notes)]
    lines = [f"{_plain(table.title)} (n = {table.n})", *body, *below]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _columns(rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return the lines of rows, the first of them the heads; in parts with an empty line between where one is too wide.

    Of each part the first column is the same.
    """
    sides = [max(map(len, column)) for column in zip(*rows, strict=True)]
    parts: list[list[int]] = [[]]
    for place in range(1, len(sides)):
        wide = sides[0] + sum(_GAP + sides[own] for own in (*parts[-1], place))
        if parts[-1] and width is not None and wide > width:
            parts.append([])
        parts[-1].append(place)
    lines: list[str] = []
    for part in parts:
        heads, *body = [[row[0], *(row[place] for place in part)] for row in rows]
        align = ("left", *("right" for _ in part))
        text = tabulate(body, headers=heads, tablefmt="simple", colalign=align, disable_numparse=True)
        lines += [*([""] if lines else []), *text.replace(_KEPT, " ").splitlines()]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _plain(text: str) -> str:
    """Return one line, without control characters."""
    return "".join(letter if letter.isprintable() or letter == _KEPT else " " for letter in text)


def md_text(text: str) -> str:
    """Return text for GitHub Markdown, on one line and with nothing in it that means something there."""
    flat = re.sub(r"[\r\n\t]+", " ", text)
    escaped = _MARKDOWN_SPECIAL.sub(lambda found: f"\\{found[0]}", flat)
    return "".join(_ENTITIES.get(letter, letter) for letter in escaped)


def _md_entry(entry: Entry, intervals: bool) -> str:
    text = {Mark.BEST: f"**{entry.text}**", Mark.SECOND: f"<u>{entry.text}</u>", Mark.NONE: entry.text}[entry.mark]
    above = entry.sign + (TRAINED_ON if entry.trained_on else "")
    text += f"<sup>{above}</sup>" if above else ""
    below = (entry.interval if intervals else "") or entry.sources
    return f"{text}<br><sub>{md_text(below)}</sub>" if below else text
