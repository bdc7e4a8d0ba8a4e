"""Everything at once: tables, plots and the page of a set of runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.frames import Frames
from harness.metric import Reference
from harness.registry import unknown_name
from reports import plots, routing
from reports.html.page import Section, write_page
from reports.render import latex_document, markdown, terminal
from reports.reported import reported_rows
from reports.statistics import Cell, compare
from reports.strata import DEFAULT, Stratum, parse_rule, strata
from reports.tables import Table, as_csv, score_table
from reports.view import View, views

_USUAL_BASELINE = "bicubic"

_Compared = dict[str, dict[tuple[str, str], Cell]]
"""Group of images -> (label, metric id) -> cell."""


def build_report(
    frames: Frames,
    out: Path,
    baseline: str | None = None,
    strata_rule: str = DEFAULT,
    reported: bool = False,
) -> list[Path]:
    """Write tables (.md .tex .csv .txt), plots (.png .svg) and the page below ``out``.

    Args:
        frames: Rows of the runs to show; a page section for each dataset.
        out: Folder; made where it is absent, files of the same names are replaced.
        baseline: Method id or label that others are compared with; None = bicubic where it was run.
        strata_rule: See :func:`reports.strata.parse_rule`.
        reported: Whether to add what papers report.

    Returns:
        All written files, the page (``index.html``) first.

    Raises:
        UserError: If there is no run, or baseline or strata are unknown, or ``out`` cannot be written.
    """
    if frames.runs.empty:
        raise UserError("there is no run to report", "isrbench eval --method bicubic --dataset sample")
    rule = parse_rule(strata_rule)
    _check_baseline(frames, baseline)
    written: list[Path] = []
    sections = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for view in views(frames):
            groups = strata(view.images, rule)
            base = _label(view, baseline)
            compared = {"all": compare(view, list(view.images.index), base)}
            compared |= {group.name: compare(view, group.images, base) for group in groups}
            tables = list(_tables(view, groups, compared, base, reported))
            written += _write_tables(view, tables, compared, out / "tables")
            drawn = list(_draw(view, groups, compared["all"], base, out / "plots"))
            written += [path for paths, _ in drawn for path in paths]
            links = tuple((f"plots/{paths[-1].name}", text) for paths, text in drawn)
            sections.append(Section(view, tuple(groups), tuple(tables), links))
        page = write_page(sections, out, f"isrbench: {', '.join(s.view.dataset for s in sections)}")
    except OSError as error:
        raise UserError(f"cannot write the report to {out}: {error.strerror}", "choose another --out") from error
    return [page, *written]


def terminal_tables(frames: Frames, baseline: str | None = None, reported: bool = False) -> str:
    """The overall table of each dataset as plain text."""
    _check_baseline(frames, baseline)
    texts = []
    for view in views(frames):
        base = _label(view, baseline)
        cells = {"all": compare(view, list(view.images.index), base)}
        texts += [terminal(table) for table in _tables(view, [], cells, base, reported)]
    return "\n".join(texts)


def _check_baseline(frames: Frames, baseline: str | None) -> None:
    known = sorted({*frames.runs["method"], *frames.runs["title"]})
    if baseline is not None and all(_label(view, baseline) is None for view in views(frames)):
        raise UserError(unknown_name("baseline", baseline, known), "choose one of the reported methods")


def _label(view: View, baseline: str | None) -> str | None:
    """The label that ``baseline`` (id, label or run) stands for on this dataset, or None."""
    wanted = baseline or _USUAL_BASELINE
    if wanted in view.labels:
        return wanted
    found = view.runs.index[(view.runs["method"] == wanted) | (view.runs["run"] == wanted)]
    return str(found[0]) if len(found) else None


def _tables(
    view: View, groups: list[Stratum], compared: _Compared, base: str | None, reported: bool
) -> Iterator[Table]:
    others = reported_rows(view.dataset) if reported else None
    yield score_table(view, compared["all"], view.dataset, len(view.images), base, others)
    for group in groups:
        title = f"{view.dataset}, {group.name}" + (f" ({group.bounds})" if group.bounds else "")
        yield score_table(view, compared[group.name], title, len(group.images), base)


def _write_tables(view: View, tables: list[Table], compared: _Compared, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    name = slug(view.dataset)
    files = {
        f"{name}.md": "\n".join(map(markdown, tables)),
        f"{name}.tex": latex_document(tables),
        f"{name}.txt": "\n".join(map(terminal, tables)),
    }
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    as_csv(view, compared).to_csv(folder / f"{name}.csv", index=False)
    paths = [folder / file for file in (*files, f"{name}.csv")]
    found = [routing.correlations(view, label).assign(method=label) for label in _routed(view)]
    if found:
        paths.append(folder / f"{name}-routing.csv")
        pd.concat(found).to_csv(paths[-1], index=False)
    return paths


def _draw(
    view: View, groups: list[Stratum], cells: dict[tuple[str, str], Cell], base: str | None, folder: Path
) -> Iterator[tuple[list[Path], str]]:
    """Every plot that the rows allow, with what it shows."""
    name = slug(view.dataset)
    per_image = [m for m in view.metrics if m.id in view.values and not view.values[m.id].isna().all().all()]
    drawn: list[tuple[list[Path], str]] = []
    for label in _routed(view):
        tail = f"{name}-{slug(label)}"
        drawn += [
            (routing.severity_scatter(view, label, folder, f"{tail}-experts"), f"{label}: active experts by severity"),
            (routing.dimension_bars(view, label, folder, f"{tail}-dimensions"), f"{label}: what routing follows"),
            (routing.layer_heatmap(view, label, groups, folder, f"{tail}-layers"), f"{label}: active experts by layer"),
            (routing.zero_share(view, label, groups, folder, f"{tail}-zero"), f"{label}: share of zero slots by layer"),
        ]
    for metric in per_image:
        paths = plots.robustness(view, metric, folder, f"{name}-{slug(metric.id)}-severity")
        drawn.append((paths, f"{metric.title} against severity, five equal groups of images with 95% bands"))
    for reference in (Reference.FULL, Reference.NONE):
        metric = next((m for m in per_image if m.reference is reference), None)
        if metric is None:
            continue
        for cost, words in (("macs", "MACs"), ("latency_ms", "latency")):
            paths = plots.pareto(view, cells, metric, cost, folder, f"{name}-{slug(metric.id)}-{cost}")
            drawn.append((paths, f"{metric.title} against {words}"))
    for label in view.labels:
        if per_image and base is not None and label != base:
            paths = plots.paired(view, per_image[0], base, label, folder, f"{name}-{slug(label)}-paired")
            drawn.append((paths, f"{per_image[0].title} image by image: {label} against {base}"))
    yield from (entry for entry in drawn if entry[0])


def _routed(view: View) -> list[str]:
    return [label for label in view.labels if view.active[label].notna().any()]


def slug(text: str) -> str:
    """A file name from any text."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
