"""``isrbench vote``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import RUNS_DIR, Runs, RunsDir, writing_to


def vote(
    runs: Runs = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write. [default: RUNS_DIR/vote]")] = None,
    dataset: Annotated[str | None, typer.Option(help="The set, where the runs are about several.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Images at most, evenly over severity.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of the questions' order.")] = 0,
    question: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What is asked. [default: Which of the two looks better?]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that no page wrote.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Write a page on which people vote between two restorations of an image, without names.

    Send the folder to people; they send back files of votes. `isrbench report --votes FOLDER` shows what they say.

    Example: `isrbench vote --dataset RealSR --out vote`
    """
    from isrbench.harness.cli.report import report_writer
    from isrbench.harness.cli.terminal import show_path, show_text
    from isrbench.harness.store.schema import home_of

    homes = {home for home in map(home_of, runs or ()) if home is not None}
    target = out or (homes.pop() if len(homes) == 1 else runs_dir) / "vote"
    asked = {} if question is None else {"question": question}
    with writing_to("--out", target):
        page, ballot = report_writer("isrbench.votes")(
            runs_dir=runs_dir, runs=runs or (), out=target, dataset=dataset, images=images, seed=seed,
            overwrite=overwrite, **asked,
        )  # fmt: skip
    pairs = len(ballot.rounds[0])
    show_text(
        f"{len(ballot.images)} images of {ballot.title}, {pairs} pair{'s' if pairs > 1 else ''} of methods: "
        f"{pairs * len(ballot.rounds):,} questions"
    )
    show_path(page)
