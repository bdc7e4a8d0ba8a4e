"""The ``isrbench`` command. Imports only what a verb needs: ``--help`` and ``list`` never load torch."""

from __future__ import annotations

import errno
import sys
import traceback
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from isrbench.harness.cli.check import check
from isrbench.harness.cli.describe import describe
from isrbench.harness.cli.doctor import doctor
from isrbench.harness.cli.eval import eval_
from isrbench.harness.cli.export import export
from isrbench.harness.cli.fetch import fetch_app
from isrbench.harness.cli.figure import figure
from isrbench.harness.cli.list import list_
from isrbench.harness.cli.merge import merge
from isrbench.harness.cli.report import ReportCommand, report
from isrbench.harness.cli.restore import restore
from isrbench.harness.cli.study import study_app
from isrbench.harness.cli.threads import no_thread_left
from isrbench.harness.cli.tools import tools
from isrbench.harness.cli.train import train
from isrbench.harness.errors import UserError
from isrbench.harness.processes import told_to_end


class Interrupted(BaseException):
    """Ctrl-C, under a name that typer does not swallow: :func:`main` has something to say on it."""


class Verbs(TyperGroup):
    """The verbs, with Ctrl-C let through."""

    def invoke(self, ctx: Any) -> Any:
        """Run a verb.

        Raises:
            Interrupted: On Ctrl-C.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    name="isrbench",
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich's help costs 0.2 s of start-up
    pretty_exceptions_enable=False,
    help="Benchmark for real-world image super-resolution: methods x datasets x metrics, stratified by degradation.",
    epilog="Start here: `isrbench eval --method bicubic --dataset sample`",
)
_HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For verbs whose further arguments belong to somebody else, ``--help`` among them."""

app.command(name="eval")(eval_)
app.command()(restore)
app.command(context_settings=_HANDED_ON, add_help_option=False)(train)
app.command(cls=ReportCommand)(report)
app.command()(figure)
app.add_typer(study_app, name="study")
app.command()(merge)
app.command()(export)
app.command(name="list")(list_)
app.command()(describe)
app.add_typer(fetch_app, name="fetch")
app.command()(doctor)
app.command()(check)
app.command(context_settings=_HANDED_ON, add_help_option=False)(tools)


@app.callback(invoke_without_command=True)
def _root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more while working.")] = False,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    from isrbench.harness.cli.terminal import show_logs, show_text

    if show_version:
        show_text(version("isrbench"))
        raise typer.Exit
    show_logs(verbose)


@no_thread_left()
def main() -> None:
    """Run the command line.

    Exit codes: 0 all well, 1 some images failed, 2 something for the user to fix, 3 a fault of isrbench or of a plugin
    (with its traceback), 130 interrupted, 129 and 143 ended by SIGHUP and SIGTERM, which tidy up as Ctrl-C does.
    """
    with told_to_end():
        _answer()


def _answer() -> None:
    try:
        app()
    except UserError as error:
        from isrbench.harness.cli.terminal import show_error

        show_error(error)
        sys.exit(2)
    except (KeyboardInterrupt, Interrupted):
        from isrbench.harness.cli.terminal import show_aside

        show_aside("interrupted; everything finished so far is kept, the same command goes on (train: with --resume)")
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            from isrbench.harness.cli.terminal import show_error

            show_error(UserError(f"{error.filename} is longer than a path can be", "shorten it, or check the command"))
            sys.exit(2)
        # Python itself would end with 1, which says that some images failed.
        traceback.print_exc()
        sys.exit(3)


if __name__ == "__main__":
    main()
