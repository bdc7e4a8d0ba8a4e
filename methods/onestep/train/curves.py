"""Training curves as a CSV of step, name, value; ``isrbench report --training`` draws them."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path


def write_curve(path: Path, step: int, values: dict[str, float]) -> None:
    """Append ``values`` at ``step``."""
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(("step", "name", "value"))
        writer.writerows((step, name, f"{value:.6g}") for name, value in values.items())


def cut_curves(path: Path, step: int) -> None:
    """Drop what lies beyond ``step``: a resumed run writes it again."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *(row for row in rows if int(row[0]) <= step)])


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Read a CSV as (step, value) points by name, in the order of the file."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            curves[row["name"]].append((int(row["step"]), float(row["value"])))
    return dict(curves)
