"""``isrbench push``: an adapter, results or a report to the Hugging Face hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isrbench.harness.cli.arguments import RUNS_DIRS, Runs, RunsDirs
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.engine.publishing import Shipment

Repo = Annotated[str, typer.Argument(metavar="REPO", help="USER/NAME on the hub; made if it is not there.")]
Public = Annotated[bool, typer.Option("--public", help="Let everybody see a repository that is made now.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]

push_app = typer.Typer(no_args_is_help=True, help="Push an adapter, results or a report to the Hugging Face hub.")


@push_app.command()
def adapter(
    repo: Repo,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The adapter.safetensors of a training.")],
    public: Public = False,
    yes: Yes = False,
) -> None:
    """Push a trained adapter with a card; `-o adapter=REPO` then fetches it.

    Example: `isrbench push adapter me/mor-x4 trained/adapter.safetensors`
    """
    from isrbench.harness.engine.publishing import adapter_shipment

    _push(adapter_shipment(repo, file), public, yes)


@push_app.command()
def results(
    repo: Repo, runs: Runs = None, public: Public = False, yes: Yes = False, runs_dir: RunsDirs = RUNS_DIRS
) -> None:
    """Push the rows and manifests of runs, with their tables; without RUN the newest of every method and set.

    Manifests hold the commands as they were typed. Images, and paths of this machine in the rows, stay here.

    Example: `isrbench push results me/mor-results latest`
    """
    # By its public name: the command line does not know what lies above the harness.
    from isrbench import compare
    from isrbench.harness.engine.publishing import results_shipment
    from isrbench.harness.store.choice import load

    frames = load(runs_dir, runs or ())
    _push(results_shipment(repo, frames, compare(frames).to_page()), public, yes)


@push_app.command()
def report(
    repo: Repo,
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="A report's.")] = Path("runs/report"),
    public: Public = False,
    yes: Yes = False,
) -> None:
    """Push a report as a static space, which shows its page; its images go along.

    Example: `isrbench push report me/realsr-report runs/report`
    """
    from isrbench.harness.engine.publishing import report_shipment

    _push(report_shipment(repo, folder), public, yes)


def _push(shipment: Shipment, public: bool, yes: bool) -> None:
    from isrbench.harness.cli.terminal import show_place, show_text
    from isrbench.harness.engine.publishing import push
    from isrbench.harness.files import size_text, some

    who = "everybody can see it" if public else "private, if it is made now"
    show_text(f"{len(shipment.files)} files, {size_text(shipment.size)}: {some(list(shipment.files))}")
    show_text(f"to {shipment.address} ({who})")
    if not yes and not sys.stdin.isatty():
        raise UserError("nothing was pushed: there is no terminal to ask at", "the same command with --yes")
    if not yes and not typer.confirm("Push this?"):
        show_text("nothing was pushed")
        raise typer.Exit
    names = push(shipment, private=not public)
    if len(names) < len(shipment.files):
        show_text("its card stays as it is there")
    show_place("pushed", shipment.address)
