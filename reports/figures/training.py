"""Plots of training curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import check_file
from isrbench.reports.figures.style import Plot, Target, colours, figure, legend_below, save
from isrbench.reports.names import unique_slugs

_WINDOW = 25
_COLUMNS = ["step", "name", "value"]
_MOST, _LONGEST = 200, 100
"""Quantities that are drawn, each in files of its own; characters of a name."""
_FIX = "give the curves.csv of a training run: step, name, value"


def training_curves(files: Sequence[Path], folder: Path) -> list[Plot]:
    """Plot each quantity in the CSVs (columns step, name, value): raw values faint, a running mean on top.

    Args:
        files: One CSV a training run; each is named by the folder it lies in, and further up where two share that.
        folder: Where the plots go.

    Raises:
        UserError: If a file cannot be read or is not such a CSV.
    """
    for file in files:
        check_file(file, _FIX, "the training curves")
    labels = _labels(files)
    curves = {label: _read(file) for label, file in labels.items()}
    names = list(dict.fromkeys(str(name) for rows in curves.values() for name in rows["name"]))
    if len(names) > _MOST:
        raise UserError(f"the training curves name {len(names)} quantities, of which {_MOST} can be drawn", _FIX)
    if any(len(name) > _LONGEST for name in names):
        raise UserError(f"the training curves name a quantity in more than {_LONGEST} characters", _FIX)
    slugs = unique_slugs(names)
    return [Plot(tuple(_draw(curves, name, folder, slugs[name])), f"Training: {name} by step") for name in names]


def _read(file: Path) -> pd.DataFrame:
    with foreign(f"the training curves {file} are not a CSV", _FIX):
        rows = pd.read_csv(file)
    if not set(_COLUMNS) <= set(rows.columns):
        raise UserError(f"the training curves {file} have no columns step, name, value", _FIX)
    for column in ("step", "value"):
        rows[column] = pd.to_numeric(rows[column], errors="coerce")
    return rows.dropna(subset=_COLUMNS)


def _labels(files: Sequence[Path]) -> dict[str, Path]:
    """Name each file by as many of its folders, from the end, as tell the files apart."""
    paths = list(dict.fromkeys(file.resolve() for file in files))
    depths = dict.fromkeys(paths, 1)
    for _ in range(max((len(path.parts) for path in paths), default=0)):
        names = {path: "/".join(path.parent.parts[-depths[path] :]) for path in paths}
        shared = {name for name, count in Counter(names.values()).items() if count > 1}
        if not shared:
            return {name: path for path, name in names.items()}
        depths = {path: depth + (names[path] in shared) for path, depth in depths.items()}
    return {str(path): path for path in paths}  # several files of one folder


def _draw(curves: Mapping[str, pd.DataFrame], name: str, folder: Path, slug: str) -> list[Path]:
    tints = colours(list(curves))
    with figure(height=2.2) as (drawn, axes):
        lines = {}
        for run, rows in curves.items():
            points = rows.loc[rows["name"].astype(str) == name, :].sort_values("step")
            if points.empty:
                continue
            smooth = points["value"].rolling(_WINDOW, min_periods=1, center=True).mean()
            axes.plot(points["step"], points["value"], color=tints[run], alpha=0.2, lw=0.6)
            lines[run] = axes.plot(points["step"], smooth, color=tints[run])[0]
        axes.set_xlabel("step")
        axes.set_ylabel(name)
        if len(curves) > 1:
            legend_below(drawn, lines)
        return save(drawn, Target(folder, slug), name)
