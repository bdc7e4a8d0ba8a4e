"""Everything at once: tables, plots and the page of a set of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import View, views
from isrbench.reports.figures import routing
from isrbench.reports.figures.draw import Plot, draw, routed
from isrbench.reports.figures.training import training_curves
from isrbench.reports.html.page import Section, write_page
from isrbench.reports.names import unique_slugs
from isrbench.reports.reported import reported_rows
from isrbench.reports.statistics import Cell, compare
from isrbench.reports.strata import DEFAULT, Rule, Stratum, parse_rule, strata
from isrbench.reports.tables.latex import latex_document
from isrbench.reports.tables.render import markdown, protocols, terminal
from isrbench.reports.tables.table import Table, as_csv, score_table
from isrbench.reports.written import forget_stale

_USUAL_BASELINE = "bicubic"

_Compared = dict[str, dict[tuple[str, str], Cell]]
"""Group of images -> (label, metric id) -> cell."""


@dataclass(frozen=True)
class Report:
    """What was written."""

    page: Path
    files: tuple[Path, ...]
    """All files, the page among them."""
    text: str
    """The overall table of each set, for a terminal."""


@dataclass(frozen=True)
class _Options:
    baseline: str | None
    rule: Rule
    reported: bool


def build_report(
    frames: Frames,
    out: Path,
    baseline: str | None = None,
    strata_rule: str = DEFAULT,
    reported: bool = False,
    training: Sequence[Path] = (),
) -> Report:
    """Write tables (.md .tex .csv .txt), plots (.png .svg) and the page below ``out``.

    Args:
        frames: Rows of the runs to show; a page section for each set of pictures.
        out: Folder; made where it is absent. What the last report wrote there is replaced, other files stay.
        baseline: Method id, label or run that others are compared with; None = bicubic where it was run.
        strata_rule: See :func:`isrbench.reports.strata.parse_rule`.
        reported: Whether to add what papers report.
        training: The curves.csv of training runs to draw as well.

    Raises:
        UserError: If there is no run, or baseline, strata or training are unknown, or ``out`` cannot be written.
    """
    if frames.runs.empty:
        raise UserError("there is no run to report", "isrbench eval --method bicubic --dataset sample")
    options = _Options(baseline, parse_rule(strata_rule), reported)
    shown = views(frames)
    _check_baseline(shown, frames, baseline)
    # The curves have a folder beside those of the sets: no set may be called the same.
    names = unique_slugs(["training ", *(view.title for view in shown)])
    try:
        out.mkdir(parents=True, exist_ok=True)
        curves = [Plot(tuple(p), text) for p, text in training_curves(training, out / "plots" / "training")]
        sections = [_section(view, names[view.title], out, options) for view in shown]
        page, placed = write_page(sections, curves, out, f"isrbench: {', '.join(view.title for view in shown)}")
        plots = [*curves, *(plot for section in sections for plot in section.plots)]
        files = [page, *placed, *(f for plot in plots for f in plot.files), *(f for s in sections for f in s.files)]
        forget_stale(out, files)
    except OSError as error:
        raise UserError(f"cannot write the report to {out}: {error.strerror}", "choose another --out") from error
    return Report(page, tuple(files), "\n".join(terminal(section.tables[0]) for section in sections))


def _section(view: View, name: str, out: Path, options: _Options) -> Section:
    """Tables and plots of one set, written."""
    groups = strata(view.images, options.rule)
    base = _label(view, options.baseline)
    compared = {"all": compare(view, list(view.images.index), base)}
    compared |= {group.name: compare(view, group.images, base) for group in groups}
    tables = list(_tables(view, groups, compared, base, options.reported))
    files = _write_tables(view, tables, compared, base, out / "tables" / name)
    plots = draw(view, groups, compared["all"], base, out / "plots" / name)
    return Section(view, name, base, tuple(groups), tuple(tables), tuple(plots), tuple(files))


def _check_baseline(shown: list[View], frames: Frames, baseline: str | None) -> None:
    known = sorted({*frames.runs["method"], *frames.runs["title"]})
    if baseline is not None and all(_label(view, baseline) is None for view in shown):
        raise UserError(unknown_name("baseline", baseline, known), "choose one of the reported methods")


def _label(view: View, baseline: str | None) -> str | None:
    """The label that ``baseline`` (id, label or run) stands for on this set, or None."""
    wanted = baseline or _USUAL_BASELINE
    if wanted in view.labels:
        return wanted
    found = view.runs.index[(view.runs["method"] == wanted) | (view.runs["run"] == wanted)]
    return str(found[0]) if len(found) else None


def _tables(
    view: View, groups: list[Stratum], compared: _Compared, base: str | None, reported: bool
) -> Iterator[Table]:
    others = reported_rows(view.dataset) if reported else None
    yield score_table(view, compared["all"], view.title, len(view.images), base, others)
    for group in groups:
        title = f"{view.title}, {group.name}" + (f" {group.bounds}" if group.bounds else "")
        yield score_table(view, compared[group.name], title, len(group.images), base)


def _write_tables(view: View, tables: list[Table], compared: _Compared, base: str | None, stem: Path) -> list[Path]:
    stem.parent.mkdir(parents=True, exist_ok=True)
    texts = {
        ".md": "\n".join([*map(markdown, tables), protocols(tables[0])]),
        ".tex": latex_document(tables),
        ".txt": "\n".join(map(terminal, tables)),
    }
    paths = [stem.with_name(stem.name + ending) for ending in (*texts, ".csv")]
    for path, text in zip(paths, texts.values(), strict=False):
        path.write_text(text, encoding="utf-8")
    as_csv(view, compared, base).to_csv(paths[-1], index=False, lineterminator="\n")
    found = [routing.correlations(view, label).assign(method=label) for label in routed(view)]
    if found:
        # No slug holds a dot: this cannot be another set's table.
        paths.append(stem.with_name(f"{stem.name}.routing.csv"))
        pd.concat(found).to_csv(paths[-1], index=False, lineterminator="\n")
    return paths
