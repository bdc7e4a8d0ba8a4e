"""``isrbench report``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any

import typer

from isrbench.harness.api.layout import DEFAULT_LAYOUT, Layout
from isrbench.harness.api.steps import steps
from isrbench.harness.cli.arguments import COMPARED, RESULTS, RUNS_DIRS, SHOWN, Runs, RunsDirs, metric_ids, writing_to
from isrbench.harness.cli.grouped import grouped
from isrbench.harness.cli.verbs import Verb
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_there


@grouped
def report(
    runs: Runs = None,
    baseline: Annotated[
        str | None, typer.Option(help="Compare with this method. [default: bicubic]", rich_help_panel=COMPARED)
    ] = None,
    strata: Annotated[
        str | None,
        typer.Option(help="quantile:3, edges:0.3,0.6, blur:quantile:2, level, ...", rich_help_panel=COMPARED),
    ] = None,
    reported: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[seen|all|FILE.csv]",
            help="Add what papers report, set apart: what was read in its source (seen; the same without a value), "
            "also what third parties quote (all), or rows of your own; repeatable.",
            rich_help_panel=COMPARED,
        ),
    ] = None,
    common: Annotated[
        bool,
        typer.Option(
            "--common", help="Compare on the images that all runs of a dataset share.", rich_help_panel=COMPARED
        ),
    ] = False,
    rank_over: Annotated[
        str | None,
        typer.Option(
            help="Add the mean rank over these metrics: ids and sets, such as @nr,psnr.", rich_help_panel=COMPARED
        ),
    ] = None,
    votes: Annotated[
        list[Path] | None,
        typer.Option(
            help="Votes of `isrbench vote`: a file or a folder of them; repeatable.", rich_help_panel=COMPARED
        ),
    ] = None,
    layout: Layout = DEFAULT_LAYOUT,
    training: Annotated[
        list[Path] | None,
        typer.Option(help="A training run's curves.csv to draw; repeatable.", rich_help_panel=SHOWN),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. [default: RUNS_DIR/report]", rich_help_panel=RESULTS)
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="FILE.md: also write all tables, costs and commands as one Markdown page.", rich_help_panel=RESULTS
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace files that no report wrote, or that were changed since.",
            rich_help_panel=RESULTS,
        ),
    ] = False,
    originals: Annotated[
        bool,
        typer.Option(
            "--originals", help="Show the images themselves on the page, not WebP previews.", rich_help_panel=RESULTS
        ),
    ] = False,
    runs_dir: RunsDirs = RUNS_DIRS,
) -> None:
    """Turn stored runs into tables, plots and a page; without RUN, the newest run of every method and set.

    Example: `isrbench report --out report --baseline bicubic`
    """
    from isrbench.harness.cli.terminal import columns, show_path, show_text
    from isrbench.harness.store.schema import home_of

    homes = {home for home in map(home_of, runs or ()) if home is not None}
    target = out or (homes.pop() if len(homes) == 1 else runs_dir[0]) / "report"
    steps.info("writing %s...", target / "index.html")
    with writing_to("--out", target):
        page = report_writer()(
            runs_dir=runs_dir, runs=runs or (), out=target, baseline=baseline, strata=strata, reported=reported or (),
            common=common, rank_over=metric_ids(rank_over) or (), votes=votes or (), layout=layout,
            training=training or (), markdown=markdown, overwrite=overwrite, originals=originals, show=show_text,
            width=columns(),
        )  # fmt: skip
    show_path(page)


class ReportCommand(Verb):
    """The verb, with ``--reported`` alone for ``--reported=seen``: typer has no option whose value may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments behind the verb."""
        values = [*args, ""][1:]
        bare = [
            arg == "--reported" and value not in ("seen", "all") and not _is_file(value)
            for arg, value in zip(args, values, strict=True)
        ]
        args = ["--reported=seen" if alone else arg for arg, alone in zip(args, bare, strict=True)]
        return super().parse_args(ctx, args)


def _is_file(value: str) -> bool:
    """Whether a word behind ``--reported`` is its value: runs are named by ids and folders."""
    return value.lower().endswith(".csv") or (is_there(Path(value)) and not Path(value).is_dir())


def report_writer(group: str = "isrbench.reports") -> Callable[..., Any]:
    """Return what is installed as ``default`` of ``group``; the harness itself knows no report.

    Args:
        group: ``isrbench.reports``, ``isrbench.figures``, ``isrbench.hub_cards``, ``isrbench.pairs``,
            ``isrbench.votes``; :mod:`isrbench.reports.entry_points`, :mod:`isrbench.reports.figures.paper`,
            :mod:`isrbench.reports.pairs` and :mod:`isrbench.reports.votes.page` describe them.

    Raises:
        UserError: If there is nothing.
    """
    from isrbench.harness.api.registry import Registry

    writers: Registry[FunctionType] = Registry.from_entry_points("report", FunctionType, group)
    if "default" not in writers:
        raise UserError(f"nothing is installed as {group}", "reinstall isrbench: pip install -c constraints.txt .")
    return writers.get("default")
