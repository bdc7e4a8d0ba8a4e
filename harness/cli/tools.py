"""``isrbench tools NAME ...``: what is needed now and then. Each tool is an entry point and reads its own arguments."""

from __future__ import annotations

import shutil
import textwrap
from types import FunctionType
from typing import Annotated

import typer

from isrbench.harness.errors import UserError


def tools(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")] = "") -> None:
    """Convert images, make sets, pretrain, bench; everything behind NAME is handed on to the tool.

    A tool's own options: `isrbench tools make-set --help`

    Example: `isrbench tools convert images/`
    """
    from isrbench.harness.api.registry import Registry, unknown_name
    from isrbench.harness.cli.terminal import show_text

    known: Registry[FunctionType] = Registry.from_entry_points("tool", FunctionType, "isrbench.tools")
    if not name or name in {"--help", "-h"}:
        typer.echo(context.get_help())
        show_text("\n" + textwrap.fill(f"Tools: {', '.join(known)}", shutil.get_terminal_size().columns))
        raise typer.Exit
    if name not in known:
        raise UserError(unknown_name("tool", name, list(known)), "isrbench tools --help")
    raise typer.Exit(known.get(name)(context.args) or 0)
