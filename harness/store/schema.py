"""The SQLite file behind a store: its tables, and what their rows may hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from isrbench.harness.api.records import Failure, Manifest
from isrbench.harness.files import is_there, shown
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.connection import damaged

FILE = "isrbench.sqlite"
SCHEMA_VERSION = 6

_FAILURE = "message TEXT, fix TEXT, traceback TEXT"

HR_SEVERITIES = """
CREATE TABLE hr_severities (
    hr_hash TEXT NOT NULL, estimator TEXT NOT NULL, severity REAL NOT NULL, PRIMARY KEY (hr_hash, estimator)
) WITHOUT ROWID"""

IMAGES = f"""
CREATE TABLE images (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'oom')), {_FAILURE},
    seconds REAL, output TEXT, output_hash TEXT, lr TEXT NOT NULL, hr TEXT, level TEXT, hr_hash TEXT,
    estimator TEXT, severity REAL, {", ".join(f"{d} REAL" for d in DIMENSIONS)}, active_experts REAL,
    adapter_macs INTEGER, adapter_params INTEGER, tiles INTEGER,
    CHECK ((status = 'ok') = (message IS NULL)), PRIMARY KEY (run, image)
) WITHOUT ROWID"""

_SCHEMA = f"""
CREATE TABLE runs (
    run TEXT PRIMARY KEY, identity TEXT NOT NULL, method TEXT NOT NULL, dataset TEXT NOT NULL, created TEXT NOT NULL,
    invoked TEXT NOT NULL, computed TEXT NOT NULL, manifest TEXT NOT NULL, cost TEXT
) WITHOUT ROWID;
{IMAGES};
CREATE TABLE scores (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, metric TEXT NOT NULL, value REAL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'unavailable', 'no-reference')), {_FAILURE},
    code TEXT NOT NULL, weights TEXT NOT NULL,
    CHECK ((status = 'ok') = (value IS NOT NULL)), PRIMARY KEY (run, image, metric)
) WITHOUT ROWID;
CREATE TABLE routing (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, position INTEGER NOT NULL, layer TEXT NOT NULL,
    active INTEGER NOT NULL, zero INTEGER NOT NULL, PRIMARY KEY (run, image, position)
) WITHOUT ROWID;
{HR_SEVERITIES};
"""


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Keep all that is written inside the block, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def home_of(name: str) -> Path | None:
    """Return the runs folder that an existing run folder ``name`` lies in; None where ``name`` is not one."""
    folder = Path(name)
    if not is_there(folder):
        return None
    home = folder.resolve().parent
    return home if folder.is_dir() and (home / FILE).is_file() else None


def is_below(path: str) -> bool:
    """Return whether a stored path stays in the runs folder: whoever sent the store must not say where we write."""
    place = PurePath(path)
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts


def is_name(run: Any) -> bool:
    """Return whether a run's id is the name of a folder in the runs folder."""
    return isinstance(run, str) and is_below(run) and len(PurePath(run).parts) == 1


def manifest_of(run: str, text: str) -> Manifest:
    """Read the manifest of a run's row.

    Raises:
        ValueError: If it is none, the run's id is not a folder's name, or the manifest is another run's.
    """
    manifest = Manifest.model_validate_json(text)
    if not is_name(run) or manifest.run != run:
        raise ValueError(f"the run '{shown(run)}' has the manifest of '{shown(manifest.run)}'")
    return manifest


def create_tables(db: sqlite3.Connection) -> None:
    """Make the tables of today's version in an empty database."""
    for statement in filter(str.strip, _SCHEMA.split(";\n")):
        db.execute(statement)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def plain(values: Iterable[Any]) -> tuple[int | float | str | None, ...]:
    """Return values that SQLite keeps as they are; numpy's, say, it would keep as bytes that no reader expects.

    Raises:
        TypeError: If one is no plain number, text or None.
        ValueError: If one is NaN, which SQLite would keep as nothing at all, or an integer beyond 64 bits.
    """
    kept = tuple(values)
    for value in kept:
        if type(value) not in {int, float, str, type(None)}:
            raise TypeError(f"the store holds plain numbers and texts, not {value!r} ({type(value).__name__})")
        if value != value or (type(value) is int and not -(2**63) <= value < 2**63):
            raise ValueError(f"the store cannot hold {value}")
    return kept


def insert(db: sqlite3.Connection, table: str, values: dict[str, Any], conflict: str = "") -> None:
    """Insert one row.

    Args:
        db: The store.
        table: Its table.
        values: By column.
        conflict: What to do about a row of the same key: "" = fail, ``OR REPLACE``.

    Raises:
        TypeError: As :func:`plain`.
        ValueError: As :func:`plain`.
    """
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    db.execute(f"INSERT {conflict} INTO {table} ({names}) VALUES ({marks})", plain(values.values()))


def failure_columns(failure: Failure | None) -> dict[str, str | None]:
    """Return a failure as the columns that hold it."""
    if failure is None:
        return {"message": None, "fix": None, "traceback": None}
    return {"message": failure.message, "fix": failure.fix, "traceback": failure.traceback}


def failure_of(row: Mapping[str, Any]) -> Failure | None:
    """Return the failure that a row's columns hold, or None."""
    if row["message"] is None:
        return None
    return Failure(message=row["message"], fix=row["fix"] or "", traceback=row["traceback"] or "")


def check_outputs(folder: Path, rows: Sequence[sqlite3.Row]) -> None:
    """Hold what a store says of files to the runs folder: another one may be somebody else's.

    Raises:
        UserError: If an image is said to lie elsewhere.
    """
    for row in rows:
        if row["output"] is not None and not is_below(str(row["output"])):
            raise damaged(folder, f"an image is said to lie at {shown(row['output'])}")


def severity_columns(severity: Sequence[float] | None) -> dict[str, float | None]:
    """Return the columns of an image's severities in [0, 1], in the order of DIMENSIONS, and of their mean."""
    if severity is None:
        return dict.fromkeys(("severity", *DIMENSIONS))
    return {"severity": sum(severity) / len(severity), **dict(zip(DIMENSIONS, severity, strict=True))}
