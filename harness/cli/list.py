"""``isrbench list``."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import RUNS_DIR, Json, RunsDir
from isrbench.harness.cli.ids import reader_of


class Kind(str, Enum):
    """What can be listed."""

    METHODS = "methods"
    DATASETS = "datasets"
    METRICS = "metrics"
    RUNS = "runs"


def _words(incomplete: str) -> list[str]:
    return [kind.value for kind in Kind if kind.value.startswith(incomplete.lower())]


Listed = Annotated[
    Kind, typer.Argument(parser=reader_of(Kind), metavar="methods|datasets|metrics|runs", autocompletion=_words)
]


def list_(kind: Listed, json: Json = False, runs_dir: RunsDir = RUNS_DIR) -> None:
    """List methods, datasets, metrics or runs.

    Example: `isrbench list methods`
    """
    from isrbench.harness.cli.terminal import show_json, show_rows
    from isrbench.harness.engine.listing import listing

    columns, rows = listing(kind.value, runs_dir)
    if json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        show_rows(kind.value, columns, rows)
