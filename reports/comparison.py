"""Compare runs from Python: :func:`compare` is what ``isrbench report`` calls too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import pandas as pd

from isrbench.harness.api.layout import DEFAULT_LAYOUT, Layout
from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.arranged import check_layout, only_methods
from isrbench.reports.compared_set import ComparedSet, baseline_label, compare_set
from isrbench.reports.composites import MEAN_RANK, group_composites, ranked_metrics, with_ntire
from isrbench.reports.figures.draw import draw
from isrbench.reports.figures.style import Plot
from isrbench.reports.names import unique_slugs
from isrbench.reports.report import RESERVED, tables_of, write_report
from isrbench.reports.reported import Reported, reported_rows
from isrbench.reports.results_page import results_page
from isrbench.reports.seeds import without_repeats
from isrbench.reports.strata import DEFAULT, parse_rule
from isrbench.reports.tables.latex import latex_document
from isrbench.reports.tables.render import markdown_document, notes_once, plain_text
from isrbench.reports.votes.analysis import tally
from isrbench.reports.votes.files import read_votes


@runtime_checkable
class HasFrames(Protocol):
    """A run, or several, whose rows can be read: what ``isrbench.evaluate`` and ``isrbench.load_runs`` return."""

    def frames(self) -> Frames:
        """Return the rows."""
        ...


Runs: TypeAlias = "Frames | HasFrames | Iterable[Frames | HasFrames]"
"""What can be compared."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """Runs compared, set by set of images. A notebook shows the tables over all images."""

    sets: tuple[ComparedSet, ...]
    """In order of the dataset's id."""

    @property
    def table(self) -> pd.DataFrame:
        """Return all numbers at full precision, one row a set, group of images, method and metric.

        Columns: dataset, group ("all" or a stratum), method, metric, n, mean (NaN where blank, and then reason says
        why), reason, low, high (95% interval), difference (paired, to the baseline), difference_low, difference_high,
        p (Wilcoxon), signed_rank, p_holm, rank, better, baseline, estimator, definition.
        """
        return pd.concat([compared.long_form() for compared in self.sets], ignore_index=True)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Return means by title of the table (a set, or a stratum of it): a row a method, a column a metric id."""
        return {
            table.title: pd.DataFrame(
                {label: [entry.value for entry in entries] for label, entries in table.rows},
                index=[metric.id for metric in table.metrics],
                dtype=float,
            ).T
            for compared in self.sets
            for table in compared.tables
        }

    @property
    def analyses(self) -> dict[str, pd.DataFrame]:
        """Return the numbers of each analysis over all sets, at full precision.

        By name: ``interaction``, ``agreement``, ``seal`` on Set14-SE, ``seeds`` where a run has repeats, ``votes``
        and ``votes-agreement`` where votes are given. One that no
        set has rows for has an empty frame; the tables say why.
        """
        found: dict[str, list[pd.DataFrame]] = {}
        for analysis in (analysis for compared in self.sets for analysis in compared.analyses):
            found.setdefault(analysis.name, []).extend([analysis.rows] if len(analysis.rows) else [])
        return {name: pd.concat(rows, ignore_index=True) if rows else pd.DataFrame() for name, rows in found.items()}

    def to_markdown(self) -> str:
        """Return all tables as GitHub Markdown, then how each metric is defined."""
        return markdown_document([table for compared in self.sets for table in notes_once(compared.printed)])

    def to_page(self) -> str:
        """Return one Markdown page: all tables, what each method costs, and the commands that ran it."""
        return results_page(self.sets)

    def to_latex(self) -> str:
        """Return all tables as a LaTeX document."""
        return latex_document(tables_of(self.sets))

    def to_text(self, width: int | None = None) -> str:
        """Return the table over all images of each set as plain text, of so many columns of a terminal at the most."""
        return "\n".join(plain_text(compared.tables[0], width) for compared in self.sets)

    def figures(self, folder: str | Path) -> list[Plot]:
        """Draw every plot that the rows allow below ``folder``, in a folder for each set.

        Raises:
            UserError: If ``folder`` cannot be written.
        """
        try:
            return [plot for compared in self.sets for plot in draw(compared, Path(folder) / compared.slug)]
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}", "choose another folder") from error

    def to_html(
        self,
        folder: str | Path,
        *,
        training: Sequence[str | Path] = (),
        overwrite: bool = False,
        originals: bool = False,
    ) -> Path:
        """Write the whole report: tables, figures, and a page that can be opened, moved or published with its folder.

        Args:
            folder: Made where it is absent. What the last report wrote there is replaced, other files stay.
            training: The curves.csv of training runs to draw as well.
            overwrite: Whether files may be replaced that no report wrote, or that were changed since.
            originals: Copy the images themselves; else those above 64 KiB become WebP previews, which differ from them.

        Returns:
            The page, ``index.html``.

        Raises:
            UserError: If a training file is not as it should be, such a file would be overwritten, or ``folder`` cannot
                be written.
        """
        curves = [Path(file) for file in training]
        return write_report(self.sets, Path(folder), curves, overwrite=overwrite, originals=originals).page

    def __repr__(self) -> str:
        """Return the sets and the methods that are compared on each."""
        sets = [f"{own.aligned.title}: {', '.join(own.aligned.labels)}" for own in self.sets]
        return f"Comparison({'; '.join(sets)})"

    def _repr_markdown_(self) -> str:
        """Return what a notebook shows."""
        return markdown_document([compared.tables[0] for compared in self.sets])


def compare(
    runs: Runs,
    *,
    baseline: str | None = None,
    strata: str = DEFAULT,
    reported: Reported = False,
    common: bool = False,
    rank_over: Sequence[str] = (),
    votes: Sequence[str | Path] = (),
    layout: Layout = DEFAULT_LAYOUT,
) -> Comparison:
    """Compare runs: means, intervals, paired differences and ranks, over all images and by stratum.

    Runs on different images are never put into one table: each set of images has its own.

    Args:
        runs: Frames, a run, or several of either.
        baseline: Method id, label or run that the others are compared with; None = bicubic where it was run.
        strata: How images are grouped: see :func:`isrbench.reports.strata.parse_rule`.
        reported: What papers report, set apart; never beside runs over a part of a set. True or ``seen`` = what was
            read in its source, ``all`` = what third parties quote as well, a CSV file = rows of your own, or several.
        common: Compare on the images that all runs of a dataset share.
        rank_over: Add the mean rank over these metrics: ids, or names of sets such as ``@free``.
        votes: Files of votes, or folders of them: see :mod:`isrbench.reports.votes.files`.
        layout: Which metrics and methods to show, in which order, and how.

    Raises:
        UserError: If there is no run, no vote is about the runs, baseline, strata, a method or a metric is unknown, or
            a file of reported rows or votes does not fit.
    """
    frames = merge_frames(runs)
    if frames.runs.empty:
        raise UserError("no run to compare", "isrbench eval --method bicubic --dataset sample")
    rule = parse_rule(strata)
    frames, repeats = without_repeats(frames)
    rows = reported_rows(reported)
    ranked = ranked_metrics([rank_over] if isinstance(rank_over, str) else rank_over)
    aligned = align(frames, common=common)
    if layout.methods:
        chosen = only_methods(frames, aligned, layout.methods)
        aligned = align(chosen, common=common, titles=frames.runs["title"])
    layout = _checked(layout, aligned, ranked)
    _check_baseline(aligned, baseline)
    if rule.by == "hr_severity" and not any(own.images[rule.by].notna().any() for own in aligned):
        raise UserError(
            f"strata '{strata}': no run here has severities of its HR images",
            "isrbench eval with the same method, dataset and --hr-severity: it computes what is missing",
        )
    slugs = unique_slugs([*(f"{name} " for name in RESERVED), *(own.title for own in aligned)])
    cast = read_votes([votes] if isinstance(votes, str | Path) else votes)
    if votes and not any(tally(own, cast).labels for own in aligned):
        raise UserError(
            f"none of the {len(cast)} votes is about a run that is compared here",
            "name the runs that the page for voting was made of",
        )
    options = {
        "baseline": baseline, "rule": rule, "reported": rows, "rank_over": ranked, "repeats": repeats, "votes": cast,
        "layout": layout,
    }  # fmt: skip
    return Comparison(tuple(compare_set(own, slugs[own.title], **options) for own in aligned))


def _checked(layout: Layout, sets: Sequence[AlignedRuns], ranked: Sequence[str]) -> Layout:
    """Check a layout against what was run; a mean rank that was asked for has a column in any case."""
    there: dict[str, None] = {}
    for own in map(with_ntire, sets):
        composites, _ = group_composites(own, ranked)
        there |= dict.fromkeys(m.id for m in (*own.metrics, *own.blank, *composites))
    layout = check_layout(layout, list(there))
    if layout.metrics and ranked and MEAN_RANK not in layout.metrics:
        layout = replace(layout, metrics=(*layout.metrics, MEAN_RANK))
    return layout


def merge_frames(runs: Runs) -> Frames:
    """Return the rows of several runs as one value; of a run that comes more than once, the part with most scores.

    Args:
        runs: Frames, a run, or several of either.

    Raises:
        UserError: If two different runs have one id.
    """
    parts = [part if isinstance(part, Frames) else part.frames() for part in _each(runs)]
    if len(parts) == 1:
        return parts[0]
    chosen: dict[str, tuple[int, int]] = {}
    identities: dict[str, str] = {}
    for place, part in enumerate(parts):
        counts = Counter(part.scores["run"])
        for run, manifest in zip(part.runs["run"], part.runs["manifest"], strict=True):
            if identities.setdefault(run, manifest.identity) != manifest.identity:
                raise UserError(f"two different runs are called {run}", "compare them in two reports")
            chosen[run] = max(chosen.get(run, (-1, 0)), (counts[run], -place))
    kept = [{run for run, (_, at) in chosen.items() if -at == place} for place in range(len(parts))]

    def joined(table: str) -> pd.DataFrame:
        rows = [getattr(part, table) for part in parts]
        rows = [own[own["run"].isin(runs)] for own, runs in zip(rows, kept, strict=True)]
        # Empty tables have no types to speak of: they would make object columns of the others'.
        return pd.concat([own for own in rows if len(own)] or rows[:1], ignore_index=True)

    return Frames(joined("runs"), joined("scores"), joined("images"), joined("routing")) if parts else _none()


def _each(runs: Runs) -> list[Frames | HasFrames]:
    if isinstance(runs, Frames | HasFrames):
        return [runs]
    found = list(runs)
    for part in found:
        if not isinstance(part, Frames | HasFrames):
            raise TypeError(f"cannot compare {part!r}: give runs, such as isrbench.load_runs(folder) returns")
    return found


def _none() -> Frames:
    return Frames(*(pd.DataFrame(columns=["run"]) for _ in range(4)))


def _check_baseline(aligned: Sequence[AlignedRuns], baseline: str | None) -> None:
    if baseline is None or any(baseline_label(own, baseline) is not None for own in aligned):
        return
    known = sorted({name for own in aligned for name in (*own.runs["method"], *own.runs["title"])})
    raise UserError(unknown_name("baseline", baseline, known), "choose one of the compared methods")
