"""``isrbench eval MATRIX.toml``: many runs, each as ``isrbench eval`` makes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isrbench.harness.cli.eval import eval_, update_report
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.engine.matrix import MatrixRun

_FLAGS = ("--dry-run", "--report", "--no-report", "-v", "--verbose", "-q", "--quiet", "-h", "--help")
"""Options of this verb that take no value."""


def names_matrix(words: Sequence[str]) -> bool:
    """Return whether the words behind ``isrbench eval`` name a matrix: a .toml file that is no value of an option."""
    before = ["", *words]
    return any(
        word.endswith(".toml") and not word.startswith("-") and (not last.startswith("-") or last in _FLAGS)
        for last, word in zip(before, words, strict=False)
    )


def refuse_settings(words: Sequence[str], settings: Sequence[str]) -> None:
    """Refuse an option of a single run beside a matrix, whose file says all of them.

    Raises:
        UserError: Naming the first such option.
    """
    given = [word.partition("=")[0] for word in words]
    own = next((word for word in given if word in settings and word not in _FLAGS), None)
    if own is not None:
        raise UserError(f"{own} is an option of a single run; a matrix says it in its file", "docs/runs.md shows how")


def eval_matrix(
    matrix: Annotated[Path, typer.Argument(metavar="MATRIX.toml", help="Methods, sets and settings: docs/runs.md.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and print the commands; run nothing.")] = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report of all newest runs at the end.")
    ] = True,
) -> None:
    """Run every method of a matrix over every set; go on where an earlier run stopped.

    A run that cannot be made is named, and the others are made all the same.

    Example: `isrbench eval matrix.toml --dry-run`
    """
    from isrbench.harness.cli.terminal import show_aside, show_error, show_place, show_text
    from isrbench.harness.engine.matrix import read_matrix

    runs = read_matrix(matrix)
    if dry_run:
        for run in runs:
            show_text(run.command)
        raise typer.Exit
    codes = []
    for place, run in enumerate(runs, 1):
        show_aside(f"[{place}/{len(runs)}] {run.command}")
        try:
            codes.append(_made(run))
        except UserError as error:
            show_error(error)
            codes.append(2)
    words = {0: f"of {len(runs)} runs are complete", 1: "with failures", 2: "not made"}
    show_text(", ".join(f"{codes.count(code)} {word}" for code, word in words.items() if code in (0, *codes)))
    if report and set(codes) != {2}:
        page = update_report(runs[0].runs_dir, computed=True)
        if page is not None:
            show_place("report", page)
    raise typer.Exit(max(codes))


def _made(run: MatrixRun) -> int:
    """Make one run as the verb does; return its exit code."""
    settings = dict(run.settings)
    if "metrics" in settings:
        settings["metrics"] = ",".join(settings["metrics"])
    if "data_root" in settings:
        settings["data_root"] = Path(settings["data_root"])
    options = [f"{key}={value}" for key, value in run.options.items()]
    try:
        eval_(run.method, run.dataset, option=options, runs_dir=run.runs_dir, report=False, **settings)
    except typer.Exit as stop:
        return stop.exit_code
    return 0
