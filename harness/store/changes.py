"""A stored run under another id, and rows without a run: statements inside a transaction of the store."""

from __future__ import annotations

from isrbench.harness.api.records import Manifest
from isrbench.harness.store.connection import Connection
from isrbench.harness.store.schema import insert
from isrbench.harness.store.store import now

_OF_RUNS = ("routing", "scores", "images")
"""Tables whose rows belong to a run."""


def move_run(db: Connection, run: str, manifest: Manifest) -> None:
    """Give all rows of ``run`` to the run of ``manifest``, which takes its place; PNGs are looked for in its folder.

    Args:
        db: Of :meth:`isrbench.harness.store.store.Store.transaction`.
        run: The id until now.
        manifest: With the new id, which is free.
    """
    row = dict(db.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone())
    changed = {"run": manifest.run, "method": manifest.name, "manifest": manifest.model_dump_json(), "computed": now()}
    insert(db, "runs", row | changed)
    db.execute(
        "UPDATE images SET output = ? || substr(output, ?) WHERE run = ? AND substr(output, 1, ?) = ?",
        (f"{manifest.run}/", len(run) + 2, run, len(run) + 1, f"{run}/"),
    )
    for table in _OF_RUNS:
        db.execute(f"UPDATE {table} SET run = ? WHERE run = ?", (manifest.run, run))
    db.execute("DELETE FROM runs WHERE run = ?", (run,))


def delete_run(db: Connection, run: str) -> None:
    """Delete all rows of a run; severities of HR images stay, since other runs share them."""
    for table in (*_OF_RUNS, "runs"):
        db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
