"""Training curves as a CSV of step, name, value; ``isrbench report --training`` draws them."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

from isrbench.harness.files import replacing

_HEADER = ("step", "name", "value")


def write_curve(path: Path, step: int, values: dict[str, float]) -> None:
    """Append ``values`` at ``step``."""
    fresh = not path.exists() or not path.stat().st_size
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(_HEADER)
        writer.writerows((step, name, f"{value:.6g}") for name, value in values.items())


def cut_curves(path: Path, step: int) -> None:
    """Drop what lies beyond ``step``, which a resumed run writes again, and what a stopped process left unfinished."""
    if not path.exists():
        return
    rows = _rows(path)
    with replacing(path) as partial, partial.open("w", newline="") as file:
        csv.writer(file).writerows([_HEADER, *(row for row in rows if int(row[0]) <= step)])


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Read a CSV as (step, value) points by name, in the order of the file."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for step, name, value in _rows(path):
        curves[name].append((int(step), float(value)))
    return dict(curves)


def _rows(path: Path) -> list[tuple[str, str, str]]:
    """The whole rows of a CSV as texts: not the header, blank lines, and one that a stopped process broke off."""
    found: list[tuple[str, str, str]] = []
    with path.open(newline="") as file:
        for row in csv.reader(file):
            try:
                step, name, value = row
                _ = int(step), float(value)
            except ValueError:
                continue
            found.append((step, name, value))
    return found
