"""Arguments that several verbs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from isrbench.harness.errors import UserError

Options = Annotated[
    list[str],
    typer.Option("-o", "--option", metavar="KEY=VALUE", help="An option of the method; see `describe method ID`."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Seed = Annotated[int, typer.Option(help="Every image's own seed comes from this and its id.")]


def _json_alone(context: typer.Context, wanted: bool) -> bool:
    """Keep standard output for the JSON document, for as long as the verb runs."""
    if wanted:
        from isrbench.harness.cli.terminal import json_alone

        context.with_resource(json_alone())
    return wanted


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.", callback=_json_alone)]
RunsDir = Annotated[Path, typer.Option(help="Where runs are kept.")]
DataRoot = Annotated[
    Path | None, typer.Option(help="The set's own folder, or one above it. [default: $ISRBENCH_DATA, ./data]")
]
Dataset = Annotated[str, typer.Option(help="A dataset's id, your own card (.toml), or a folder with LR/ and HR/.")]
Metrics = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated ids and sets (@osediff, @mor, @ntire, @nr, @free); see `list metrics`. "
        "[default: @osediff,gmsd,vsi,piqe, as far as weights are here]"
    ),
]
Limit = Annotated[int | None, typer.Option(help="Only N images, drawn evenly over the set.")]
Sample = Annotated[int | None, typer.Option(help="Only N images, drawn by the seed.")]
Workers = Annotated[
    int | None,
    typer.Option(help="Threads that score, or Ray's workers; never changes a result. [default: one a core]"),
]
Runner = Annotated[str, typer.Option(help="What does the work: threads, serial, or ray; never changes a result.")]
Batch = Annotated[
    int, typer.Option(help="Images of one size restored at once, by methods that can; changes last bits.")
]
OnOom = Annotated[
    str, typer.Option("--on-oom", help="An image that memory is too small for: skip (a row says so), or tile.")
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="A Ray cluster's address, or auto. [default: one on this machine, for this run]"),
]
GpusPerWorker = Annotated[float, typer.Option(help="GPUs of the cluster that each of Ray's workers takes.")]
Devices = Annotated[
    str | None, typer.Option(help="cuda:0,cuda:1,...: --runner ray on this machine, a worker for each device.")
]
AcceptLicense = Annotated[
    bool,
    typer.Option(
        "--accept-license", "--accept-licence", help="Accept the set's license and download it if it is not there."
    ),
]
Runs = Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids, folders or `latest`.")]

RUNS_DIR = Path("runs")
NOTHING: list[str] = []


def devices_of(text: str | None) -> tuple[str, ...]:
    """Return the devices that ``--devices`` lists, which makes the runner Ray's."""
    return () if text is None else tuple(device.strip() for device in text.split(",") if device.strip())


def metric_ids(text: str | None) -> list[str] | None:
    """Return the ids and sets that ``--metrics`` lists; None where it is not given."""
    return None if text is None else [id.strip() for id in text.split(",") if id.strip()]


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
