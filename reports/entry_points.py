"""What the harness calls through the entry points ``isrbench.reports`` and ``isrbench.hub_cards``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from isrbench.harness.api.layout import DEFAULT_LAYOUT, Layout
from isrbench.harness.api.registry import methods
from isrbench.harness.api.steps import steps
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full, replacing
from isrbench.harness.listed import is_reports
from isrbench.harness.store.choice import load
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import compare, merge_frames
from isrbench.reports.reported import Reported
from isrbench.reports.results_page import is_results_page
from isrbench.reports.seeds import without_repeats
from isrbench.reports.strata import DEFAULT


def write(
    *,
    runs_dir: Path | Sequence[Path],
    runs: Sequence[str] = (),
    out: Path | None = None,
    baseline: str | None = None,
    strata: str | None = None,
    reported: Reported = False,
    common: bool = False,
    rank_over: Sequence[str] = (),
    votes: Sequence[Path] = (),
    layout: Layout = DEFAULT_LAYOUT,
    training: Sequence[Path] = (),
    markdown: Path | None = None,
    overwrite: bool = False,
    originals: bool = False,
    show: Callable[[str], None] | None = None,
    width: int | None = None,
) -> Path:
    """Report on stored runs.

    Args:
        runs_dir: The runs folder, or several.
        runs: Run ids, run folders (of any runs folder) or ``latest``; none = the newest run of every method and set.
        out: The folder to write; None = ``report`` in the runs folder, the first of several.
        baseline: Method that the others are compared with; None = bicubic where it was run.
        strata: Rule of :mod:`isrbench.reports.strata`; None = tertiles of severity.
        reported: What papers report: see :func:`isrbench.reports.comparison.compare`.
        common: Compare on the images that all runs of a dataset share.
        rank_over: Metrics or sets of them; the mean rank over them is added.
        votes: Files of votes of ``isrbench vote``, or folders of them.
        layout: Which metrics and methods to show, in which order, and how.
        training: The curves.csv of training runs, to draw on the page as well.
        markdown: A file to write all tables, costs and commands to as one Markdown page; one that is there is replaced
            only if an earlier report wrote it.
        overwrite: Whether files may be replaced that no report wrote, or in ``out`` were changed since.
        originals: Copy the images themselves onto the page; else large ones become WebP previews.
        show: Called with the tables over all images as plain text.
        width: Columns that this text may take; None = any number.

    Returns:
        The page.

    Raises:
        UserError: If there is no such run, an option does not fit, or the folder cannot be written.
    """
    frames = read_frames(runs_dir, runs)
    steps.info("comparing methods...")
    comparison = compare(
        frames, baseline=baseline, strata=strata or DEFAULT, reported=reported, common=common, rank_over=rank_over,
        votes=votes, layout=layout,
    )  # fmt: skip
    out = out or (runs_dir if isinstance(runs_dir, Path) else runs_dir[0]) / "report"
    if markdown is not None:
        if is_reports(out, markdown):
            raise UserError(
                f"--markdown {markdown} would take the place of a file of the report in {out}",
                f"--markdown {out / 'results.md'}",
            )
        _check_page(markdown, overwrite)
    page = comparison.to_html(out, training=training, overwrite=overwrite, originals=originals)
    if markdown is not None:
        _write_page(markdown, comparison.to_page())
    if show is not None:
        show(comparison.to_text(width))
    return page


def _check_page(path: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a page of results.

    Raises:
        UserError: If ``path`` is a file that no report wrote, or no file at all; or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"--markdown {path} is not a file", "name a file, such as results.md")
        if path.exists() and not overwrite and not is_results_page(path.read_text(encoding="utf-8", errors="replace")):
            raise UserError(
                f"--markdown {path} exists already and is not a page of results", "choose another file, or --overwrite"
            )
    except OSError as error:
        raise UserError(f"--markdown {path} cannot be read: {error.strerror or error}", "choose another") from error


def _write_page(path: Path, text: str) -> None:
    """Write a page of results.

    Raises:
        UserError: If ``path`` cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        fix = "make room, then the same command again" if is_full(error) else "choose another"
        raise UserError(f"--markdown {path} cannot be written: {error.strerror or error}", fix) from error


def publish(
    *, runs_dir: Path, runs: Sequence[str] = (), out: Path | None = None, overwrite: bool = False
) -> list[Path]:
    """Write a Hugging Face model-card block for each method and a bibliography.

    Args:
        runs_dir: The runs folder.
        runs: Run ids, run folders (of any runs folder) or ``latest``; none = the newest run of every method and set.
        out: The folder to write; None = ``<runs_dir>/publish``.
        overwrite: Whether files that are there are replaced, such as a card that somebody has edited since.

    Returns:
        The written files, the bibliography last. What is left out is logged as a warning.

    Raises:
        UserError: If there is no such run, none of them can be published, a file is there already, or the folder
            cannot be written.
    """
    from isrbench.reports.hub_card import write_publication

    frames, _ = without_repeats(read_frames(runs_dir, runs))
    return write_publication(frames, methods(), out or runs_dir / "publish", overwrite=overwrite)


def read_frames(runs_dir: Path | Sequence[Path], runs: Sequence[str]) -> Frames:
    """Read runs, each from the runs folder that it lies in; none named = the newest of every method and set.

    Raises:
        UserError: If there is no such run.
    """
    return merge_frames(load([runs_dir] if isinstance(runs_dir, Path) else runs_dir, runs))
