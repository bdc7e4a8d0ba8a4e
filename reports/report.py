"""The report's folder: tables, figures and the page of compared runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from isrbench.harness.errors import UserError
from isrbench.harness.files import refuse_to_replace, replacing
from isrbench.harness.store.export import csv_text
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.figures.draw import draw
from isrbench.reports.figures.training import training_curves
from isrbench.reports.html.page import Section, write_page

TRAINING = "training"
"""Folder of the training curves below ``plots``: no set's slug."""
_LIST = "report-files.json"
"""Names what the last report wrote: only that may be replaced or removed, never a file that somebody put there."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    files: tuple[Path, ...]
    """All files, the page among them."""


def write_report(sets: Sequence[ComparedSet], folder: Path, training: Sequence[Path] = ()) -> Report:
    """Write tables (.md .tex .txt .csv), figures (.png .svg) and the page below ``folder``.

    Args:
        sets: What to show; a section of the page for each.
        folder: Made where it is absent. What the last report wrote there is replaced, other files stay as they are.
        training: The curves.csv of training runs to draw as well.

    Raises:
        UserError: If a training file is not as it should be, a file would be overwritten that no report wrote, or
            ``folder`` cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Made beside the last report and moved there when it is whole: only then is it known which files it takes.
        with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as made:
            files = [path.relative_to(made) for path in _write(sets, Path(made), training)]
            _take_place(Path(made), folder, files)
    except OSError as error:
        raise UserError(f"cannot write the report to {folder}: {error.strerror}", "choose another folder") from error
    return Report(folder / files[0], tuple(folder / file for file in files))


def _write(sets: Sequence[ComparedSet], folder: Path, training: Sequence[Path]) -> list[Path]:
    """Write a report and return its files, the page first."""
    curves = training_curves(training, folder / "plots" / TRAINING)
    sections = [_section(compared, folder) for compared in sets]
    page, images = write_page(sections, curves, folder)
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


def _take_place(made: Path, folder: Path, files: Sequence[Path]) -> None:
    """Move ``files`` from ``made`` to ``folder``, and remove what only the last report had there."""
    last, now = _listed(folder), {file.as_posix() for file in files}
    foreign = (folder / name for name in sorted(now - last))
    refuse_to_replace(foreign, "choose another folder (--out), or move away what no report has written")
    # Listed before they are there: a report that is stopped half way may still be replaced.
    _list(folder, last | now)
    for file in dict.fromkeys(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (made / file).replace(folder / file)
    for name in sorted(last - now):
        stale = folder / name
        stale.unlink(missing_ok=True)
        for parent in list(stale.relative_to(folder).parents)[:-1]:
            if (folder / parent).is_dir() and not any((folder / parent).iterdir()):
                (folder / parent).rmdir()
    _list(folder, now)


def _list(folder: Path, names: Collection[str]) -> None:
    with replacing(folder / _LIST) as partial:
        partial.write_text(json.dumps(sorted(names), indent=0) + "\n", encoding="utf-8")


def _listed(folder: Path) -> set[str]:
    """Return names in the list that lie below ``folder``; none where there is no list, or another file of that name."""
    try:
        names = json.loads((folder / _LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(names, list):
        return set()
    paths = [PurePosixPath(name) for name in names if isinstance(name, str)]
    return {path.as_posix() for path in paths if not path.is_absolute() and ".." not in path.parts}
