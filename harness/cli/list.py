"""``isrbench list``."""

from __future__ import annotations

from enum import Enum

from isrbench.harness.cli.arguments import RUNS_DIR, Json, RunsDir


class Kind(str, Enum):
    """What can be listed."""

    METHODS = "methods"
    DATASETS = "datasets"
    METRICS = "metrics"
    RUNS = "runs"


def list_(kind: Kind, json: Json = False, runs_dir: RunsDir = RUNS_DIR) -> None:
    """List methods, datasets, metrics or runs.

    Example: `isrbench list methods`
    """
    from isrbench.harness.cli.runs import show_runs
    from isrbench.harness.cli.terminal import show_json, show_rows
    from isrbench.harness.engine.listing import listing

    if kind is Kind.RUNS:
        show_runs([runs_dir], json=json)
        return
    columns, rows = listing(kind.value, runs_dir)
    if json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        show_rows(kind.value, columns, rows)
