"""The report's folder: tables, figures and the page of compared runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from isrbench.harness.api.steps import steps
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full
from isrbench.harness.listed import fresh_folder, take_place
from isrbench.harness.store.export import csv_text
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.figures.draw import draw
from isrbench.reports.figures.training import training_curves
from isrbench.reports.html.leaderboard import write_leaderboard
from isrbench.reports.html.page import Section, write_page
from isrbench.reports.tables.joined import join_sets
from isrbench.reports.tables.latex import latex_document, tabular_file
from isrbench.reports.tables.render import markdown
from isrbench.reports.tables.table import Table

_TRAINING, _ALL_SETS, _OVERVIEW = "training", "all-sets", "overview"
RESERVED = (_TRAINING, _ALL_SETS, _OVERVIEW)
"""What no set's slug may be: the folder of training curves below ``plots``, and files of ``tables`` about all sets."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    files: tuple[Path, ...]
    """All files, the page among them."""


def write_report(
    sets: Sequence[ComparedSet],
    folder: Path,
    training: Sequence[Path] = (),
    *,
    overwrite: bool = False,
    originals: bool = False,
) -> Report:
    """Write tables (.md .tex .txt .csv), figures (.png .svg .pdf) and the page below ``folder``.

    Made in a folder of its own inside of it and moved when it is whole, the page last, while no other report is written
    there: a reader finds a whole report, or none.

    Args:
        sets: What to show; a section of the page for each.
        folder: Made where it is absent. What the last report wrote there is replaced, other files stay as they are.
        training: The curves.csv of training runs to draw as well.
        overwrite: Whether files may be replaced that no report wrote, or that were changed since.
        originals: Copy the images themselves; else large ones become WebP previews.

    Raises:
        UserError: If a training file is not as it should be, such a file would be overwritten, or ``folder`` cannot be
            written.
    """
    try:
        with fresh_folder(folder) as made:
            files = [path.relative_to(made) for path in _write(sets, made, training, originals)]
            take_place(made, folder, [PurePosixPath(file) for file in files], overwrite=overwrite)
    except OSError as error:
        full = "make room, then the same command again; what was there before is unchanged"
        raise UserError(
            f"cannot write the report to {folder}: {error.strerror or error}",
            full if is_full(error) else "choose another folder",
        ) from error
    return Report(folder / files[0], tuple(folder / file for file in files))


def _write(sets: Sequence[ComparedSet], folder: Path, training: Sequence[Path], originals: bool) -> list[Path]:
    """Write a report and return its files, the page first."""
    curves = training_curves(training, folder / "plots" / _TRAINING)
    sections = [_section(compared, folder) for compared in sets]
    steps.info("the page and its images...")
    page, shown = write_page(sections, curves, folder, originals=originals)
    shown += write_leaderboard(sets, folder)
    plots = [*curves, *(plot for section in sections for plot in section.plots)]
    tables = [*_write_overview(sets, folder / "tables"), *(file for section in sections for file in section.files)]
    return [page, *shown, *(file for plot in plots for file in plot.files), *tables]


def tables_of(sets: Sequence[ComparedSet]) -> dict[str, Table]:
    """Return all tables by the name of their file: one over all sets, where there are several, then those of each."""
    joined = {_ALL_SETS: join_sets([compared.tables[0] for compared in sets])} if len(sets) > 1 else {}
    return joined | {name: table for compared in sets for name, table in compared.named_tables.items()}


def _write_overview(sets: Sequence[ComparedSet], folder: Path) -> list[Path]:
    """Write what is about all sets: a table where there are several, and a LaTeX document that takes every table."""
    tables = tables_of(sets)
    texts = {f"{_OVERVIEW}.tex": latex_document(tables, inputs=True)}
    if (joined := tables.get(_ALL_SETS)) is not None:
        texts |= {f"{_ALL_SETS}.tex": tabular_file(joined, _ALL_SETS), f"{_ALL_SETS}.md": markdown(joined)}
    return _write_texts(texts, folder)


def _section(compared: ComparedSet, folder: Path) -> Section:
    steps.info("%s: tables and plots...", compared.aligned.title)
    files = _write_tables(compared, folder / "tables")
    return Section(compared, tuple(draw(compared, folder / "plots" / compared.slug)), tuple(files))


def _write_tables(compared: ComparedSet, folder: Path) -> list[Path]:
    """Write a set's tables as ``SLUG.md`` and so on; no slug holds a dot, so no file is another set's."""
    slug = compared.slug
    texts = {f"{slug}.md": compared.to_markdown(), f"{slug}.txt": compared.to_text()}
    texts[f"{slug}.csv"] = csv_text(compared.long_form())
    texts |= {f"{name}.tex": tabular_file(table, name) for name, table in compared.named_tables.items() if table.rows}
    for analysis in compared.analyses:
        if len(analysis.rows):
            texts[f"{slug}.{analysis.name}.csv"] = csv_text(analysis.rows)
    routing = [table.assign(method=label) for label, table in compared.routing.items()]
    if routing:
        texts[f"{slug}.routing.csv"] = csv_text(pd.concat(routing))
    return _write_texts(texts, folder)


def _write_texts(texts: Mapping[str, str], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
