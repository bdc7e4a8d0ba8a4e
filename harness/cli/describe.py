"""``isrbench describe``."""

from __future__ import annotations

from enum import Enum

from isrbench.harness.cli.arguments import Json


class Kind(str, Enum):
    """What can be described."""

    METHOD = "method"
    DATASET = "dataset"
    METRIC = "metric"


def describe(kind: Kind, id: str, json: Json = False) -> None:
    """Show everything there is to know of one method, dataset or metric.

    Example: `isrbench describe method folder`
    """
    from isrbench.harness.cli.terminal import show_facts, show_json, show_rows
    from isrbench.harness.engine.listing import description

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
