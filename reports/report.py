"""The report's folder: tables, figures and the page of compared runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from isrbench.harness.errors import UserError
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.figures.draw import draw
from isrbench.reports.figures.training import training_curves
from isrbench.reports.html.page import Section, write_page

TRAINING = "training"
"""Folder of the training curves below ``plots``: no set's slug."""
_LIST = "report-files.json"
"""Names what the last report wrote: only that may be removed, never a file that somebody put beside it."""


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
        folder: Made where it is absent. What the last report wrote there is replaced, other files stay.
        training: The curves.csv of training runs to draw as well.

    Raises:
        UserError: If a training file is not as it should be, or ``folder`` cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        curves = training_curves(training, folder / "plots" / TRAINING)
        sections = [_section(compared, folder) for compared in sets]
        page, images = write_page(sections, curves, folder)
        plots = [*curves, *(plot for section in sections for plot in section.plots)]
        files = [page, *images, *(f for plot in plots for f in plot.files), *(f for s in sections for f in s.files)]
        _remove_stale(folder, files)
    except OSError as error:
        raise UserError(f"cannot write the report to {folder}: {error.strerror}", "choose another folder") from error
    return Report(page, tuple(files))


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
        ".csv": compared.long_form().to_csv(index=False, lineterminator="\n"),
    }
    routing = compared.routing()
    if routing is not None:
        texts[".routing.csv"] = routing.to_csv(index=False, lineterminator="\n")
    paths = [stem.with_name(stem.name + ending) for ending in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def _remove_stale(folder: Path, written: Iterable[Path]) -> None:
    """Remove files of the last report in ``folder`` that are not among ``written``, and list what is there now."""
    now = {path.relative_to(folder).as_posix() for path in written}
    for name in sorted(_listed(folder) - now):
        stale = folder / name
        stale.unlink(missing_ok=True)
        for parent in list(stale.relative_to(folder).parents)[:-1]:
            if (folder / parent).is_dir() and not any((folder / parent).iterdir()):
                (folder / parent).rmdir()
    (folder / _LIST).write_text(json.dumps(sorted(now), indent=0) + "\n", encoding="utf-8")


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
