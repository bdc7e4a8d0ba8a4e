"""Arguments that several verbs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.cli.ids import (
    complete_dataset,
    complete_method,
    complete_metrics,
    dataset_id,
    method_id,
    metric_id,
)
from isrbench.harness.errors import UserError

METHOD, IMAGES, SCORES, WORK, RESULTS = "Method", "Images", "Scores", "Work", "Results"
COMPARED, SHOWN = "Compared", "Shown"
"""The headings of options in help."""

_METHOD_HELP = "A method's id (see `list methods`), or your own model card (.toml)."
Method = Annotated[
    str, typer.Option(help=_METHOD_HELP, callback=method_id, autocompletion=complete_method, rich_help_panel=METHOD)
]
MethodOrDefault = Annotated[
    str | None,
    typer.Option(
        help=f"{_METHOD_HELP} [default: the best for photos whose weights are here]",
        callback=method_id,
        autocompletion=complete_method,
        rich_help_panel=METHOD,
    ),
]
Options = Annotated[
    list[str],
    typer.Option(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        help="An option of the method; see `describe method ID`. "
        "weights= and adapter= take a path, a URL or USER/REPO[:FILE].",
        rich_help_panel=METHOD,
    ),
]
Device = Annotated[str, typer.Option(help="auto (cuda, mps or cpu), cuda:1, ...", rich_help_panel=WORK)]
Seed = Annotated[
    int, typer.Option(metavar="N", help="Every image's own seed comes from this and its id.", rich_help_panel=METHOD)
]


def _json_alone(context: typer.Context, wanted: bool) -> bool:
    """Keep standard output for the JSON document, for as long as the verb runs, and standard error for warnings."""
    if wanted:
        from isrbench.harness.cli.terminal import json_alone
        from isrbench.harness.cli.verbs import asked, say

        if not asked.verbose:
            say(verbose=False, quiet=True)
        context.with_resource(json_alone())
    return wanted


Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document instead of a table.",
        callback=_json_alone,
        rich_help_panel=RESULTS,
    ),
]
RunsDir = Annotated[Path, typer.Option(help="Where runs are kept.", rich_help_panel=RESULTS)]
RunsDirs = Annotated[
    list[Path], typer.Option("--runs-dir", help="Where runs are kept; repeatable.", rich_help_panel=RESULTS)
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="The set's own folder, or one above it. [default: $ISRBENCH_DATA, ./data]", rich_help_panel=IMAGES
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        help="A dataset's id, your own card (.toml), or a folder with LR/ and HR/.",
        callback=dataset_id,
        autocompletion=complete_dataset,
        rich_help_panel=IMAGES,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Ids and sets (@osediff, @mor, @ntire, @nr, @free, all); see `list metrics`. "
        "[default: @osediff,gmsd,vsi,piqe, as far as weights are here]",
        autocompletion=complete_metrics,
        rich_help_panel=SCORES,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(metavar="N", help="Only N images, drawn evenly over the set.", rich_help_panel=IMAGES),
]
Sample = Annotated[
    int | None, typer.Option(metavar="N", help="Only N images, drawn by the seed.", rich_help_panel=IMAGES)
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Threads that write and score [default: one a core], or Ray's workers [as there is room].",
        rich_help_panel=WORK,
    ),
]
Runner = Annotated[
    str,
    typer.Option(help="What does the work: threads, serial, or ray; never changes a result.", rich_help_panel=WORK),
]
Batch = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Images of one size restored at once, by methods that can; changes last bits.",
        rich_help_panel=WORK,
    ),
]
OnOom = Annotated[
    str,
    typer.Option(
        "--on-oom",
        help="An image that memory is too small for: skip (a row says so), or tile.",
        rich_help_panel=WORK,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        help="A Ray cluster's address, or auto. [default: one on this machine, for this run]", rich_help_panel=WORK
    ),
]
GpusPerWorker = Annotated[
    float,
    typer.Option(metavar="N", help="GPUs of the cluster that each of Ray's workers takes.", rich_help_panel=WORK),
]
Devices = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="cuda:0,cuda:1,...: --runner ray on this machine, a worker for each device.",
        rich_help_panel=WORK,
    ),
]
AcceptLicense = Annotated[
    bool,
    typer.Option(
        "--accept-license",
        "--accept-licence",
        help="Accept the set's license and download it if it is not there.",
        rich_help_panel=IMAGES,
    ),
]
Runs = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids, folders or `latest`.")]
Name = Annotated[
    str | None,
    typer.Option(help="What tables call it, to tell two folders or checkpoints apart.", rich_help_panel=METHOD),
]
RequireMetrics = Annotated[
    bool,
    typer.Option("--require-metrics", help="Stop if a metric's weights are not there.", rich_help_panel=SCORES),
]
Scale = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How many times larger, for a set without HR images. [default: as the set says]",
        rich_help_panel=IMAGES,
    ),
]
HrCrop = Annotated[
    str | None,
    typer.Option(
        help="modulo: cut HR images at the right and bottom to a multiple of the scale.", rich_help_panel=IMAGES
    ),
]
Resume = Annotated[
    str,
    typer.Option(help="only-missing: go on; never: a new run; only-cache: compute nothing.", rich_help_panel=RESULTS),
]
Seeds = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Run a stochastic method under so many seeds, from --seed on; one run a seed.",
        rich_help_panel=METHOD,
    ),
]
Estimator = Annotated[
    str,
    typer.Option(
        help="Severity estimator: tiny, fft (no weights), an open_clip MODEL/PRETRAINED, or none.",
        rich_help_panel=SCORES,
    ),
]
HrSeverity = Annotated[
    bool,
    typer.Option(
        "--hr-severity",
        help="Estimate the HR images too, for report --strata hr-severity.",
        rich_help_panel=SCORES,
    ),
]
Complexity = Annotated[
    bool,
    typer.Option(
        "--complexity/--no-complexity",
        help="Count and time the method too, or do not.",
        show_default=False,
        rich_help_panel=SCORES,
    ),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report/--no-report",
        help="Write the report of all newest runs, or do not.",
        show_default=False,
        rich_help_panel=RESULTS,
    ),
]
Trackers = Annotated[
    list[str],
    typer.Option(help="tensorboard or wandb: hand the scores on, too; may be repeated.", rich_help_panel=RESULTS),
]

RUNS_DIR = Path("runs")
RUNS_DIRS = [RUNS_DIR]
NOTHING: list[str] = []


def devices_of(text: str | None) -> tuple[str, ...]:
    """Return the devices that ``--devices`` lists, which makes the runner Ray's."""
    return () if text is None else tuple(device.strip() for device in text.split(",") if device.strip())


def listed(text: str | None) -> list[str] | None:
    """Return what a text lists between commas; None where it is not given."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def metric_ids(text: str | None) -> list[str] | None:
    """Return the ids and sets that ``--metrics`` lists, as they are spelled; None where it is not given."""
    words = listed(text)
    return None if words is None else [metric_id(word) for word in words]


@contextmanager
def writing_to(option: str, folder: Path) -> Iterator[None]:
    """Turn what goes wrong with the folder that ``option`` names into one clear message.

    Raises:
        UserError: If it is a file, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(
            f"{option} {folder} is a file, but has to be a folder", f"{option} {folder.with_suffix('')}-files"
        )
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{option} {folder} cannot be written: {error.strerror or error}", "choose a place that can be written"
        ) from error
