"""Whole runs moved, deleted, or taken from another store: statements inside a transaction of the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isrbench.harness.api.records import Manifest
from isrbench.harness.store.connection import Connection
from isrbench.harness.store.schema import insert
from isrbench.harness.store.store import Store, now

_OF_RUNS = ("routing", "scores", "images")
"""Tables whose rows belong to a run."""


def move_run(db: Connection, run: str, manifest: Manifest) -> None:
    """Move all rows of ``run`` to the run of ``manifest``, which takes its place; PNGs are looked for in its folder.

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


def copy_run(db: Connection, target: Store, source: Store, manifest: Manifest) -> None:
    """Take another store's run, or give the known run this manifest, and the cost where it has none.

    Args:
        db: Of :meth:`isrbench.harness.store.store.Store.transaction` of ``target``.
        target: The store that takes it.
        source: The store that has it.
        manifest: What the run is called and was made of from now on.
    """
    (row,) = source.rows("runs", [manifest.run])
    known = target.rows("runs", [manifest.run])
    if not known:
        insert(db, "runs", row)
        return
    target.add_run(manifest)
    if known[0]["cost"] is None:
        db.execute("UPDATE runs SET cost = ? WHERE run = ?", (row["cost"], manifest.run))


def copy_rows(db: Connection, run: str, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Take rows of ``table`` (images, scores or routing) as another store has them, also over those of one key.

    Raises:
        ValueError: If one is another run's.
    """
    for row in rows:
        if row["run"] != run:
            raise ValueError(f"a row of {row['run']} among those of {run}")
        insert(db, table, dict(row), "OR REPLACE")
