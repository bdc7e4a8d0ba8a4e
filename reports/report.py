"""The report's folder: tables, figures and the page of compared runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full
from isrbench.harness.listed import fresh_folder, take_place
from isrbench.harness.store.export import csv_text
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.figures.draw import draw
from isrbench.reports.figures.training import training_curves
from isrbench.reports.html.leaderboard import write_leaderboard
from isrbench.reports.html.page import Section, write_page

TRAINING = "training"
"""Folder of the training curves below ``plots``: no set's slug."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    files: tuple[Path, ...]
    """All files, the page among them."""


def write_report(
    sets: Sequence[ComparedSet], folder: Path, training: Sequence[Path] = (), *, overwrite: bool = False
) -> Report:
    """Write tables (.md .tex .txt .csv), figures (.png .svg) and the page below ``folder``.

    Made in a folder of its own inside of it and moved when it is whole, the page last, while no other report is written
    there: a reader finds a whole report, or none.

    Args:
        sets: What to show; a section of the page for each.
        folder: Made where it is absent. What the last report wrote there is replaced, other files stay as they are.
        training: The curves.csv of training runs to draw as well.
        overwrite: Whether files may be replaced that no report wrote, or that were changed since.

    Raises:
        UserError: If a training file is not as it should be, such a file would be overwritten, or ``folder`` cannot be
            written.
    """
    try:
        with fresh_folder(folder) as made:
            files = [path.relative_to(made) for path in _write(sets, made, training)]
            take_place(made, folder, [PurePosixPath(file) for file in files], overwrite=overwrite)
    except OSError as error:
        full = "make room, then the same command again; what was there before is unchanged"
        raise UserError(
            f"cannot write the report to {folder}: {error.strerror or error}",
            full if is_full(error) else "choose another folder",
        ) from error
    return Report(folder / files[0], tuple(folder / file for file in files))


def _write(sets: Sequence[ComparedSet], folder: Path, training: Sequence[Path]) -> list[Path]:
    """Write a report and return its files, the page first."""
    curves = training_curves(training, folder / "plots" / TRAINING)
    sections = [_section(compared, folder) for compared in sets]
    page, images = write_page(sections, curves, folder)
    images += write_leaderboard(sets, folder)
    plots = [*curves, *(plot for section in sections for plot in section.plots)]
    return [page, *images, *(f for plot in plots for f in plot.files), *(f for s in sections for f in s.files)]


def _section(compared: ComparedSet, folder: Path) -> Section:
    files = _write_tables(compared, folder / "tables" / compared.slug)
    return Section(compared, tuple(draw(compared, folder / "plots" / compared.slug)), tuple(files))


def _write_tables(compared: ComparedSet, stem: Path) -> list[Path]:
    """Write the tables as ``stem.md`` and so on; no slug holds a dot, so ``stem.routing.csv`` is no other set's."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    texts = {
        ".md": compared.to_markdown(),
        ".tex": compared.to_latex(),
        ".txt": compared.to_text(),
        ".csv": csv_text(compared.long_form()),
    }
    for analysis in compared.analyses:
        if len(analysis.rows):
            texts[f".{analysis.name}.csv"] = csv_text(analysis.rows)
    routing = [table.assign(method=label) for label, table in compared.routing.items()]
    if routing:
        texts[".routing.csv"] = csv_text(pd.concat(routing))
    paths = [stem.with_name(stem.name + ending) for ending in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths
