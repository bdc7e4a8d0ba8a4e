"""Training curves in the house style."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from reports.style import colours, entitle, figure, save

_WINDOW = 25


def training_curves(files: Sequence[Path], folder: Path) -> list[Path]:
    """One plot for each quantity in the CSVs (columns step, name, value): raw values faint, a running mean on top.

    Args:
        files: One CSV a training run; each is named by the folder it lies in.
        folder: Where the plots go.

    Raises:
        UserError: If a file is not such a CSV.
    """
    frames = {}
    for file in files:
        rows = pd.read_csv(file)
        if not {"step", "name", "value"} <= set(rows.columns):
            raise UserError(f"{file} has no columns step, name, value", "give the curves.csv of a training run")
        frames[file.resolve().parent.name] = rows
    names = list(dict.fromkeys(name for rows in frames.values() for name in rows["name"]))
    tints = colours(list(frames))
    written: list[Path] = []
    for name in names:
        with figure(height=2.2) as (drawn, axes):
            for run, rows in frames.items():
                points = rows[rows["name"] == name].sort_values("step")
                smooth = points["value"].rolling(_WINDOW, min_periods=1, center=True).mean()
                axes.plot(points["step"], points["value"], color=tints[run], alpha=0.2, lw=0.6)
                axes.plot(points["step"], smooth, color=tints[run], label=run)
            axes.set_xlabel("step")
            entitle(drawn, str(name))
            if len(frames) > 1:
                drawn.legend(loc="outside lower center", ncols=min(len(frames), 3))
            written += save(drawn, folder, "training-" + "".join(c if c.isalnum() else "_" for c in str(name)))
    return written
