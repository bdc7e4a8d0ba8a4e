"""Training curves as a CSV of step, name, value."""

from __future__ import annotations

import csv
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
