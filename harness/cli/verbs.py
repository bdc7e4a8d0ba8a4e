"""How every verb is parsed and helps: ``-v``, ``-q`` and ``-h`` behind the verb, options in groups, nothing cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.utils import get_params_from_function

WIDEST = 120
"""Columns that help fills of a wider terminal."""
CONTEXT: dict[str, Any] = {"help_option_names": ["--help", "-h"], "max_content_width": WIDEST}
"""What the root's context hands on to every verb's."""
_OTHER = "Other"


@dataclass
class _Asked:
    """How much a command was asked to say."""

    verbose: bool = False
    quiet: bool = False


asked = _Asked()
"""Of the command that runs; :func:`say` sets it."""


def say(verbose: bool, quiet: bool) -> None:
    """Have a command say more, or less."""
    from isrbench.harness.cli.terminal import show_logs

    asked.verbose, asked.quiet = verbose, quiet
    show_logs(verbose, quiet)


class Verb(TyperCommand):
    """A verb."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params += self._own_options()

    def _own_options(self) -> list[TyperOption]:
        return [
            TyperOption(
                param_decls=["-v", "--verbose"], is_flag=True, expose_value=False, rich_help_panel=_OTHER,
                help="Say more while working, and show tracebacks.", callback=_more,
            ),
            TyperOption(
                param_decls=["-q", "--quiet"], is_flag=True, expose_value=False, rich_help_panel=_OTHER,
                help="Say results, warnings and errors alone.", callback=_less,
            ),
        ]  # fmt: skip

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options under the headings that they name, if all of them do."""
        _write_groups(self, ctx, formatter)


class Bare(Verb):
    """A verb whose whole line belongs to somebody else."""

    def _own_options(self) -> list[TyperOption]:
        return []


class Verbs(TyperGroup):
    """A verb that has verbs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.suggest_commands = False  # click 8.5 names what is close by itself, and typer would once more

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options, then the verbs with the whole first sentence of each."""
        _write_groups(self, ctx, formatter)
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(n, command.get_short_help_str(1000)) for n, command in commands if command and not command.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def dress(app: typer.Typer) -> None:
    """Make every verb of an app, also of those inside it, a :class:`Verb`; one that has a class of its own keeps it."""
    for command in app.registered_commands:
        command.cls = Verb if command.cls in (None, TyperCommand) else command.cls
    for group in app.registered_groups:
        if not (isinstance(group.cls, type) and issubclass(group.cls, Verbs)):
            group.cls = Verbs
        if group.typer_instance is not None:
            dress(group.typer_instance)


def _more(context: Any, option: Any, value: bool) -> None:
    if value:
        say(verbose=True, quiet=False)


def _less(context: Any, option: Any, value: bool) -> None:
    if value:
        say(verbose=False, quiet=True)


def _with_argument_help(command: Any) -> None:
    """Restore the help of arguments: since click 8.5 has one of its own for them, typer's is lost."""
    function = getattr(command.callback, "__wrapped__", None)
    infos = get_params_from_function(function) if function is not None else {}
    for param in command.params:
        if param.param_type_name == "argument" and not param.help and param.name in infos:
            param.help = getattr(infos[param.name].default, "help", None)


def _write_groups(command: Any, ctx: Any, formatter: Any) -> None:
    _with_argument_help(command)
    groups: dict[str, list[tuple[str, str]]] = {}
    params = command.get_params(ctx)
    own = [p.rich_help_panel for p in params if isinstance(p, TyperOption)]
    grouped = None not in own and set(own) != {_OTHER}
    for param in params:
        record = param.get_help_record(ctx)
        if record is None:
            continue
        if param.param_type_name == "argument":
            name = "Arguments"
        else:
            name = (getattr(param, "rich_help_panel", None) or _OTHER) if grouped else "Options"
        groups.setdefault(name, []).append(record)
    for name in sorted(groups, key=lambda name: (name != "Arguments", name == _OTHER)):
        with formatter.section(name):
            formatter.write_dl(groups[name])
