"""Training curves as a CSV of step, name, value; ``isrbench report --training`` draws them."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isrbench.harness.documents import read_text
from isrbench.harness.errors import foreign
from isrbench.harness.files import replacing

_HEADER = ("step", "name", "value")
_FIX = "move it away; --resume then goes on with curves that begin at its step"


@dataclass
class Tally:
    """The losses since the last row of the curves, and the steps that were skipped."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """Of how many steps each sum is."""
    skipped: int = 0
    """Skipped steps of the whole run."""
    in_a_row: int = 0
    """Skipped steps since the last one that was made."""

    def add(self, losses: Mapping[str, float]) -> None:
        """Take in the losses of a step that was made."""
        self.in_a_row = 0
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def skip(self) -> None:
        """Take in a step that was skipped."""
        self.skipped += 1
        self.in_a_row += 1

    def row(self) -> dict[str, float]:
        """Return each loss's mean over the steps that had it, and ``skipped`` once a step was; then begin anew."""
        means = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means | ({"skipped": float(self.skipped)} if self.skipped else {})


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
    """The whole rows of a CSV as texts: not the header, blank lines, and one that a stopped process broke off.

    Raises:
        UserError: If it cannot be read or is no text.
    """
    found: list[tuple[str, str, str]] = []
    text = read_text(path, _FIX)
    with foreign(f"{path} is damaged", _FIX):
        for row in csv.reader(io.StringIO(text, newline="")):
            try:
                step, name, value = row
                _ = int(step), float(value)
            except ValueError:
                continue
            found.append((step, name, value))
    return found
