"""``isrbench study routing``."""

from __future__ import annotations

from typing import Annotated

import typer

from isrbench.harness.cli.arguments import (
    NOTHING,
    RUNS_DIR,
    DataRoot,
    Dataset,
    Device,
    Json,
    Limit,
    Metrics,
    Options,
    RunsDir,
    Sample,
    Seed,
    Workers,
    metric_ids,
)
from isrbench.harness.cli.ids import method_id

study_app = typer.Typer(no_args_is_help=True, help="Answer a question that takes several runs.")


@study_app.callback()
def _studies() -> None:
    """Keep `routing` a word of its own, though it is the only study."""


@study_app.command()
def routing(
    method: Annotated[str, typer.Option(help="A method that routes; see `list methods`.", callback=method_id)],
    dataset: Dataset,
    option: Options = NOTHING,
    name: Annotated[str | None, typer.Option(help="What tables call it; each arm adds its own words.")] = None,
    metrics: Metrics = None,
    data_root: DataRoot = None,
    limit: Limit = None,
    sample: Sample = None,
    strata: Annotated[
        str | None, typer.Option(help="As for `report`. [default: the set's levels, or thirds of severity]")
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    device: Device = "auto",
    seed: Seed = 0,
    workers: Workers = None,
    estimator: Annotated[
        str, typer.Option(help="What groups the images: tiny, fft, or an open_clip MODEL/PRETRAINED.")
    ] = "tiny",
    json: Json = False,
) -> None:
    """Find out whether routing helps: own severity against another image's, a constant, the opposite, and no adapter.

    Every arm is a run like any other, stored and resumed. The study itself, with a figure, goes to
    RUNS_DIR/study-routing-METHOD-DATASET.

    Example: `isrbench study routing --method mor --dataset sample`
    """
    # By its public name: the command line does not know what lies above the harness.
    from isrbench import study_routing
    from isrbench.harness.api.options import split_options
    from isrbench.harness.cli.terminal import show_json, show_place, show_text
    from isrbench.harness.cli.waiting import progress_bars

    with progress_bars(quiet=json) as progress:
        study = study_routing(
            method, dataset, options=split_options(option), name=name, data_root=data_root, limit=limit,
            metrics=metric_ids(metrics),
            sample=sample, strata=strata, runs_dir=runs_dir, device=device, seed=seed, workers=workers,
            estimator=estimator, progress=progress,
        )  # fmt: skip
    if json:
        show_json(study.rows())
    else:
        show_text("\n".join([f"{study.title}, {len(study.arms)} arms", "", study.verdict, "", *study.sentences]))
        for note in study.notes:
            show_text(note)
        show_place("study", study.folder / "study.md")
    raise typer.Exit(1 if study.failed else 0)
