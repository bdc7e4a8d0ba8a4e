"""What the core calls through the ``isrbench.reports`` entry point: stored runs in, a report folder out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from isrbench.harness.api.registry import methods
from isrbench.harness.store.frames import Frames, load_frames
from isrbench.harness.store.store import Store
from isrbench.reports.report import build_report
from isrbench.reports.strata import DEFAULT


def write(
    runs_dir: Path,
    runs: Sequence[str] = (),
    out: Path | None = None,
    baseline: str | None = None,
    strata: str | None = None,
    reported: bool = False,
    training: Sequence[Path] = (),
    show: Callable[[str], None] | None = None,
) -> Path:
    """Report on ``runs`` of a runs folder.

    Args:
        runs_dir: Where the store is.
        runs: Run ids, folders or ``latest``; none = the newest run of every method and dataset.
        out: The folder to write; None = ``<runs_dir>/report``.
        baseline: Method that the others are compared with; None = bicubic where it was run.
        strata: Rule of :mod:`isrbench.reports.strata`; None = tertiles of severity.
        reported: Whether to add what papers report.
        training: The curves.csv of training runs, to draw on the page as well.
        show: Called with the overall tables as plain text.

    Returns:
        The page.

    Raises:
        UserError: If there is no such run, or an option does not fit.
    """
    frames = _frames(runs_dir, runs)
    report = build_report(frames, out or runs_dir / "report", baseline, strata or DEFAULT, reported, training)
    if show is not None:
        show(report.text)
    return report.page


def publish(runs_dir: Path, runs: Sequence[str] = (), out: Path | None = None) -> list[Path]:
    """Write a Hugging Face model-card block for each method and a bibliography.

    Args:
        runs_dir: Where the store is.
        runs: Run ids, folders or ``latest``; none = the newest run of every method and dataset.
        out: The folder to write; None = ``<runs_dir>/publish``.

    Returns:
        The written files, the bibliography last.

    Raises:
        UserError: If there is no such run.
    """
    from isrbench.reports.hub_card import write_publication

    return write_publication(_frames(runs_dir, runs), methods(), out or runs_dir / "publish")


def _frames(runs_dir: Path, runs: Sequence[str]) -> Frames:
    store = Store(runs_dir, create=False)
    try:
        chosen = list(dict.fromkeys(store.find_run(name) for name in runs)) or store.newest_runs()
        return load_frames(store, chosen)
    finally:
        store.close()
