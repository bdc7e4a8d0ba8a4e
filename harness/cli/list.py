"""``isrbench list``."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import RUNS_DIRS, Json, RunsDirs
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


def list_(kind: Listed, json: Json = False, runs_dir: RunsDirs = RUNS_DIRS) -> None:
    """List methods, datasets, metrics or runs.

    Example: `isrbench list methods`
    """
    from isrbench.harness.cli.runs import show_runs
    from isrbench.harness.cli.terminal import show_entries, show_json, show_rows, show_text
    from isrbench.harness.engine.listing import listing

    if kind is Kind.RUNS:
        show_runs(runs_dir, json=json)
        return
    columns, rows = listing(kind.value, runs_dir[0])
    if json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif kind is Kind.METHODS:
        show_entries(kind.value, [(id, title, license, text) for id, title, license, text in rows])
    elif kind is Kind.DATASETS:
        show_entries(
            kind.value,
            [(id, f"{images} images, {scale}" if images else scale, of, text) for id, images, scale, of, text in rows],
        )
    else:
        show_rows(kind.value, columns, [(*row[:-1], _standing(row[-1])) for row in rows])
        if absent := [row[0] for row in rows if row[-1].startswith(_FETCH)]:
            show_text(f"missing weights: {_FETCH} {','.join(absent)}")


_FETCH = "isrbench fetch weights --metric"


def _standing(weights: str) -> str:
    """Return how a metric's weights stand in a word or two, where the whole would not fit a line."""
    if weights.startswith(_FETCH):
        return "missing"
    return weights.partition(":")[0] if _FETCH in weights else weights
