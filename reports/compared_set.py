"""One set's runs compared: strata, statistics and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import pandas as pd

from isrbench.harness.api.layout import DEFAULT_LAYOUT, Layout
from isrbench.harness.api.metric import Metric
from isrbench.reports import agreement, interaction, seal, seeds
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.analysis import Analysis
from isrbench.reports.arranged import arranged, columns, methods_named, with_digits
from isrbench.reports.composites import composite_cells, group_composites, with_ntire
from isrbench.reports.names import unique_slugs
from isrbench.reports.reported import ReportedRow
from isrbench.reports.routing import correlations, routed
from isrbench.reports.statistics import Cells, compare_means
from isrbench.reports.strata import Rule, Stratum, strata
from isrbench.reports.tables.columns import with_columns, without_blank_columns
from isrbench.reports.tables.latex import latex_document
from isrbench.reports.tables.render import markdown_document, notes_once, plain_text
from isrbench.reports.tables.reported import with_reported
from isrbench.reports.tables.table import Table, long_form, score_table
from isrbench.reports.votes.analysis import analyse as analyse_votes
from isrbench.reports.votes.files import Vote

USUAL_BASELINE = "bicubic"
"""The method that others are compared with unless the user names another."""


@dataclass(frozen=True)
class ComparedSet:
    """The runs on one set of images, with what was computed from them."""

    aligned: AlignedRuns
    slug: str
    """Names the set's files; unlike that of any other set."""
    baseline: str | None
    """Label that the others are compared with; None where no run of it is there."""
    strata: tuple[Stratum, ...]
    cells: Mapping[str, Cells]
    """Group ("all", then each stratum's name) -> means, intervals and differences."""
    tables: tuple[Table, ...]
    """The table over all images, then one a stratum."""
    analyses: tuple[Analysis, ...] = ()
    """What is asked beyond means: in the order of the page."""

    @property
    def named_tables(self) -> dict[str, Table]:
        """Return :attr:`printed` by the name of each table's file: ``realsr``, ``realsr.severity-low``."""
        names = unique_slugs([*(group.name for group in self.strata), *(analysis.name for analysis in self.analyses)])
        # No slug holds a dot: another set's tables have other names.
        return dict(zip([self.slug, *(f"{self.slug}.{name}" for name in names.values())], self.printed, strict=True))

    @property
    def printed(self) -> tuple[Table, ...]:
        """Return all tables: those of means, then those of the analyses."""
        return (*self.tables, *(analysis.table for analysis in self.analyses))

    def analysis(self, name: str) -> Analysis:
        """Return the analysis of that name.

        Raises:
            KeyError: If there is none.
        """
        return {analysis.name: analysis for analysis in self.analyses}[name]

    composites: tuple[Metric, ...] = ()
    """Columns besides those of ``aligned.metrics``."""
    layout: Layout = DEFAULT_LAYOUT

    def long_form(self) -> pd.DataFrame:
        """Return all numbers at full precision: see :func:`isrbench.reports.tables.table.long_form`."""
        return long_form(self.aligned, self.cells, self.baseline, self.composites)

    @cached_property
    def routing(self) -> dict[str, pd.DataFrame]:
        """Return correlations of active experts with severity, by label of the methods that route."""
        return {label: correlations(self.aligned, label) for label in routed(self.aligned)}

    def to_markdown(self) -> str:
        """Return all tables as GitHub Markdown, then how each metric is defined."""
        return markdown_document(list(notes_once(self.printed)))

    def to_latex(self) -> str:
        """Return all tables as a LaTeX document."""
        return latex_document(self.named_tables)

    def to_text(self) -> str:
        """Return all tables as plain text."""
        return "\n".join(map(plain_text, notes_once(self.printed)))


def compare_set(
    aligned: AlignedRuns,
    slug: str,
    *,
    baseline: str | None,
    rule: Rule,
    repeats: Mapping[str, pd.DataFrame] | None = None,
    reported: Sequence[ReportedRow] = (),
    rank_over: Sequence[str] = (),
    votes: Sequence[Vote] = (),
    layout: Layout = DEFAULT_LAYOUT,
) -> ComparedSet:
    """Compute everything about one set.

    What is computed does not depend on the columns that a layout chooses: Holm's correction is over all metrics of the
    runs.

    Args:
        aligned: Its runs.
        slug: Names its files.
        baseline: Method id, label or run that the others are compared with; None = bicubic.
        rule: How images are grouped.
        repeats: Scores of each run under other seeds, of :func:`isrbench.reports.seeds.without_repeats`.
        reported: What papers report, of this set and others. They report means over whole sets: beside a part they
            are left out, and a note says so.
        rank_over: Metrics of the mean rank, of :func:`isrbench.reports.composites.ranked_metrics`; empty for none.
        votes: On restorations of this set or others; empty for none.
        layout: Columns, rows and digits, of :func:`isrbench.reports.arranged.check_layout`; the rows' methods are
            those of ``aligned``.
    """
    aligned = with_ntire(aligned)
    composites, notes = group_composites(aligned, rank_over)
    composites = with_digits(layout, composites)
    aligned = replace(
        aligned,
        notes=(*aligned.notes, *notes),
        metrics=with_digits(layout, aligned.metrics),
        blank=with_digits(layout, aligned.blank),
    )
    groups = strata(aligned.images, rule)
    base = baseline_label(aligned, baseline)
    cells = {}
    for name, images in [("all", tuple(aligned.images.index)), *((group.name, group.images) for group in groups)]:
        own = compare_means(aligned, images, base)
        cells[name] = own | composite_cells(aligned, own, images, composites, rank_over)
    slopes = interaction.analyse(aligned, base)
    aligned = arranged(layout, aligned, cells["all"])
    composites = columns(layout, composites)
    tables = tuple(_tables(aligned, groups, cells, base, composites, reported, layout))
    shown = columns(layout, slopes.table.metrics) or slopes.table.metrics
    analyses = (
        replace(slopes, table=with_columns(slopes.table, shown)),
        agreement.analyse(aligned, cells["all"]), *seal.analyse(aligned), *seeds.analyse(aligned, repeats or {}),
        *analyse_votes(aligned, cells["all"], tables[0], votes),
    )  # fmt: skip
    return ComparedSet(aligned, slug, base, tuple(groups), cells, tables, analyses, composites, layout)


def baseline_label(aligned: AlignedRuns, baseline: str | None) -> str | None:
    """Return the label that ``baseline`` (method id, label or run; None = bicubic) stands for, or None."""
    return next(iter(methods_named(aligned, baseline or USUAL_BASELINE)), None)


def _tables(
    aligned: AlignedRuns,
    groups: Sequence[Stratum],
    cells: Mapping[str, Cells],
    base: str | None,
    composites: Sequence[Metric],
    reported: Sequence[ReportedRow],
    layout: Layout,
) -> Iterator[Table]:
    score = partial(score_table, aligned, baseline=base, composites=composites, layout=layout)
    own = [row for row in reported if row.dataset == aligned.dataset]
    blank = [m for m in aligned.blank if not aligned.partial and any(m.id in row.values for row in own)]
    blank = columns(layout, blank)
    table = score(cells["all"], aligned.title, len(aligned.images), blank=blank)
    if own and aligned.partial:
        note = f"left out: what papers report of {aligned.dataset}, because their means are over the whole set"
        table = replace(table, notes=(*table.notes, note))
    elif own:
        table = with_reported(table, own, aligned, cells["all"])
    yield without_blank_columns(table)
    for group in groups:
        title = f"{aligned.title}, {group.name}" + (f" {group.bounds}" if group.bounds else "")
        yield without_blank_columns(score(cells[group.name], title, len(group.images)))
