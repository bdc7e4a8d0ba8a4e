"""Training curves as a CSV of step, name, value, and as a plot.

isrbench tools plot-curves runs/mor/curves.csv runs/osediff/curves.csv --out curves.png
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
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


def plot_curves(paths: Sequence[Path], out: Path, window: int = 10) -> None:
    """Draw one panel a name, one line a file (named by its folder), each smoothed over ``window`` points.

    Curves of less than 20 points are drawn as they are; a dotted line beside a validation is bicubic's value.
    """
    from matplotlib.figure import Figure

    files = {f"{path.parent.name}/{path.stem}": read_curves(path) for path in paths}
    names = [
        name
        for name in dict.fromkeys(n for curves in files.values() for n in curves)
        if name != "seconds" and not name.startswith("bicubic/")
    ]
    columns = 4
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis, name in zip(axes, names, strict=False):
        for label, curves in files.items():
            points = curves.get(name, [])
            values = [value for _, value in points]
            few = len(points) < 20
            recent = [values[max(0, i + 1 - (1 if few else window)) : i + 1] for i in range(len(values))]
            means = [sum(part) / len(part) for part in recent]
            axis.plot([step for step, _ in points], means, marker="." if few else "", label=label)
            for _, value in curves.get(name.replace("validation/", "bicubic/"), []) if "/" in name else []:
                axis.axhline(value, color="grey", linestyle=":", linewidth=1)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in axes[len(names) :]:
        axis.remove()
    axes[0].legend(fontsize=7)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=90)


def main(argv: Sequence[str] | None = None) -> int:
    """Plot CSVs; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    plot_curves(args.curves, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
