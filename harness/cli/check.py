"""``isrbench check``."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import NOTHING, Device, Json, Options
from isrbench.harness.cli.ids import complete_id, method_id, metric_id, reader_of
from isrbench.harness.errors import UserError


class Kind(str, Enum):
    """What can be checked."""

    METHOD = "method"
    METRIC = "metric"


def check(
    kind: Annotated[Kind, typer.Argument(parser=reader_of(Kind), metavar="method|metric")],
    id: Annotated[str, typer.Argument(autocompletion=complete_id)],
    option: Options = NOTHING,
    scale: Annotated[int, typer.Option(min=1, help="How many times larger a method makes its images.")] = 4,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Try an installed method or metric on tiny made images: does it hold what isrbench asks of plugins?

    Nothing is downloaded or stored. Exit code 0 if no check fails, 1 if one does, 2 if it cannot be loaded or built.

    For example:

    `isrbench check method bicubic`

    `isrbench check method spandrel -o weights=net.pth`

    `isrbench check metric psnr`
    """
    from isrbench.harness.api.options import split_options
    from isrbench.harness.cli.terminal import show_json, show_text
    from isrbench.harness.engine.contract.check import exit_code

    options = split_options(option)
    if kind is Kind.METHOD:
        from isrbench.harness.engine.contract.method import check_method

        checked = check_method(method_id(id) or id, options, scale, device)
    else:
        from isrbench.harness.engine.contract.metric import check_metric

        if options:
            raise UserError("metrics have no options", f"isrbench check metric {id}")
        checked = check_metric(metric_id(id))
    if json:
        show_json([vars(one) for one in checked])
    else:
        for one in checked:
            show_text(f"{one.verdict.value:7}  {one.check}{f': {one.reason}' if one.reason else ''}")
    raise typer.Exit(exit_code(checked))
