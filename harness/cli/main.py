"""The ``isrbench`` command. Imports only what a verb needs: ``--help`` and ``list`` never load torch."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer

from isrbench.harness.api.steps import steps
from isrbench.harness.cli.check import check
from isrbench.harness.cli.compare import compare
from isrbench.harness.cli.demo import demo
from isrbench.harness.cli.describe import describe
from isrbench.harness.cli.doctor import doctor
from isrbench.harness.cli.eval import eval_
from isrbench.harness.cli.export import export
from isrbench.harness.cli.fetch import fetch_app
from isrbench.harness.cli.figure import figure
from isrbench.harness.cli.list import list_
from isrbench.harness.cli.matrix import eval_matrix, names_matrix, refuse_settings
from isrbench.harness.cli.push import push_app
from isrbench.harness.cli.report import ReportCommand, report
from isrbench.harness.cli.restore import restore
from isrbench.harness.cli.runs import merge, runs_app
from isrbench.harness.cli.study import study_app
from isrbench.harness.cli.threads import no_thread_left
from isrbench.harness.cli.tools import tools
from isrbench.harness.cli.train import train
from isrbench.harness.cli.verbs import CONTEXT, Bare, Verbs, asked, dress, say
from isrbench.harness.cli.vote import vote
from isrbench.harness.errors import UserError
from isrbench.harness.processes import told_to_end


class Interrupted(BaseException):
    """Ctrl-C, under a name that typer does not swallow: :func:`main` has something to say on it."""


class FileEnded(Exception):
    """An EOFError, under a name that typer does not take for the end of what somebody types."""


class Root(Verbs):
    """The verbs, with Ctrl-C and files that end too early let through."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb.

        Raises:
            Interrupted: On Ctrl-C.
            FileEnded: For an EOFError.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None
        except EOFError as error:
            raise FileEnded(str(error) or "a file ended too early") from error

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Find the verb: ``eval`` with a file of many runs is one of its own."""
        name, command, rest = super().resolve_command(ctx, args)
        if name != "eval" or command is None or not names_matrix(rest):
            return name, command, rest
        refuse_settings(rest, [option for param in command.params for option in param.opts])
        return name, self.commands[_MATRIX], rest


_MATRIX = "eval-matrix"

app = typer.Typer(
    name="isrbench",
    cls=Root,
    context_settings=CONTEXT,
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help costs 0.2 s of start-up
    pretty_exceptions_enable=False,
    help="Benchmark for real-world image super-resolution: methods x datasets x metrics, stratified by degradation.",
    epilog="Start here: `isrbench eval --method bicubic --dataset sample`",
)
_HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For verbs whose further arguments belong to somebody else, ``--help`` among them."""

app.command(name="eval")(eval_)
app.command(name=_MATRIX, hidden=True)(eval_matrix)
app.command()(restore)
app.command()(demo)
app.command(context_settings=_HANDED_ON, add_help_option=False)(train)
app.command(cls=ReportCommand)(report)
app.command()(compare)
app.command()(figure)
app.command()(vote)
app.add_typer(study_app, name="study")
app.add_typer(runs_app, name="runs")
app.command(hidden=True)(merge)  # what `runs merge` was called first
app.command()(export)
app.add_typer(push_app, name="push")
app.command(name="list")(list_)
app.command()(describe)
app.add_typer(fetch_app, name="fetch")
app.command()(doctor)
app.command()(check)
app.command(cls=Bare, context_settings=_HANDED_ON, add_help_option=False)(tools)
dress(app)


@app.callback(invoke_without_command=True)
def _root(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more while working, and show tracebacks.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say results, warnings and errors alone.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    from isrbench.harness.cli.terminal import show_text

    if show_version:
        show_text(version("isrbench"))
        raise typer.Exit
    say(verbose, quiet)


@no_thread_left()
def main() -> None:
    """Run the command line.

    Exit codes: 0 all well, 1 some images failed, 2 something for the user to fix, 3 a fault of isrbench or of a plugin
    (one line; its traceback is in a file, or follows with ``-v``), 130 interrupted, 129 and 143 ended by SIGHUP and
    SIGTERM, which tidy up as Ctrl-C does.
    """
    # Before torch reads it: its threads would wait by spinning, and keep the cores from whatever else has to work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with told_to_end():
            _answer()
    finally:  # a program that calls this goes on in silence
        for name in ("isrbench", steps.name):
            logging.getLogger(name).setLevel(logging.NOTSET)


def _answer() -> None:
    try:
        app(prog_name="isrbench")  # also as `python -m isrbench`: what a shell completes, and what help says
    except UserError as error:
        _end(error, error.__cause__)
    except (KeyboardInterrupt, Interrupted):
        from isrbench.harness.cli.terminal import show_aside

        show_aside("interrupted; everything finished so far is kept, the same command goes on (train: with --resume)")
        sys.exit(130)
    except Exception as error:
        from isrbench.harness.cli import faults

        if (said := faults.of_the_system(error)) is not None:
            _end(said, error)
        # Python itself would end with 1, which says that some images failed.
        log = None if asked.verbose else faults.keep_log(error)
        _end(UserError(faults.say(error, log)), error, code=3, shown=log is None)


def _end(said: UserError, error: BaseException | None, *, code: int = 2, shown: bool = False) -> NoReturn:
    """Say why the command ends, with the traceback behind it where it is asked for or kept nowhere else."""
    from isrbench.harness.cli.terminal import show_error

    show_error(said)
    if error is not None and (shown or asked.verbose):
        traceback.print_exception(type(error), error, error.__traceback__)
    sys.exit(code)


if __name__ == "__main__":
    main()
