"""``isrbench train``: everything behind ``--method ID`` is the method's own."""

from __future__ import annotations

from typing import Annotated

import typer

from isrbench.harness.cli.ids import complete_method, method_id
from isrbench.harness.errors import UserError


def train(
    context: typer.Context,
    method: Annotated[
        str | None,
        typer.Option(help="A trainable method's id.", callback=method_id, autocompletion=complete_method),
    ] = None,
) -> None:
    """Train a method; everything else on the line is handed on to its trainer.

    Its own options: `isrbench train --method mor --help`

    Example: `isrbench train --method mor --data images/ --out trained/`
    """
    from isrbench.harness.api.registry import methods
    from isrbench.harness.cli.terminal import show_logs
    from isrbench.harness.cli.verbs import asked

    if method is None:
        if {"--help", "-h"} & set(context.args):
            typer.echo(context.get_help())
            raise typer.Exit
        raise UserError("train needs a method", "isrbench train --method mor --help")
    # Its progress is in the log: a training that says nothing for an hour looks like one that hangs.
    show_logs(not asked.quiet, asked.quiet)
    plugin = methods().get(method)
    if plugin.train is None:
        trainable = [name for name, p in methods().load_all()[0].items() if p.train is not None]
        raise UserError(f"{method} cannot be trained", f"trainable methods: {', '.join(trainable) or 'none'}")
    raise typer.Exit(plugin.run_training(context.args))
