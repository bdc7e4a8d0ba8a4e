"""``isrbench describe``."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import Json
from isrbench.harness.cli.ids import complete_id, dataset_id, method_id, metric_id, reader_of


class Kind(str, Enum):
    """What can be described."""

    METHOD = "method"
    DATASET = "dataset"
    METRIC = "metric"


def describe(
    kind: Annotated[Kind, typer.Argument(parser=reader_of(Kind), metavar="method|dataset|metric")],
    id: Annotated[str, typer.Argument(autocompletion=complete_id)],
    json: Json = False,
) -> None:
    """Show everything there is to know of one method, dataset or metric.

    Example: `isrbench describe method folder`
    """
    from isrbench.harness.cli.terminal import show_facts, show_json, show_rows
    from isrbench.harness.engine.listing import description

    id = {Kind.METHOD: method_id, Kind.DATASET: dataset_id, Kind.METRIC: metric_id}[kind](id) or id
    facts, options = description(kind.value, id)
    if json:
        show_json({**facts, **({"options": options} if kind is Kind.METHOD else {})})
        return
    show_facts(f"{kind.value} {id}", facts)
    if options:
        show_rows(
            "\noptions (-o key=value)",
            ("option", "type", "default", "what it does"),
            [tuple(option.values()) for option in options],
        )
