"""The SQLite file behind a store: its tables, how it is opened, and what is said when it cannot be."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS

FILE = "isrbench.sqlite"
SCHEMA_VERSION = 3
"""Bumped when a table changes; an older file is refused with the way out, never altered quietly."""

_PATIENCE = 30.0
"""Seconds to wait for another process's transaction."""

_SCHEMA = f"""
CREATE TABLE runs (
    run TEXT PRIMARY KEY, method TEXT NOT NULL, dataset TEXT NOT NULL, created TEXT NOT NULL,
    invoked TEXT NOT NULL, computed TEXT NOT NULL, manifest TEXT NOT NULL, complexity TEXT
) WITHOUT ROWID;
CREATE TABLE images (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    error TEXT, seconds REAL, output TEXT, output_hash TEXT, lr TEXT NOT NULL, hr TEXT, level TEXT,
    estimator TEXT, severity REAL, {", ".join(f"{d} REAL" for d in DIMENSIONS)}, active_experts REAL,
    adapter_macs INTEGER, adapter_params INTEGER,
    PRIMARY KEY (run, image)
) WITHOUT ROWID;
CREATE TABLE scores (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, metric TEXT NOT NULL, value REAL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'unavailable', 'no-reference')), error TEXT,
    protocol TEXT, CHECK ((status = 'ok') = (value IS NOT NULL)), PRIMARY KEY (run, image, metric)
) WITHOUT ROWID;
CREATE TABLE routing (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, position INTEGER NOT NULL, layer TEXT NOT NULL,
    active INTEGER NOT NULL, zero INTEGER NOT NULL, PRIMARY KEY (run, image, position)
) WITHOUT ROWID;
"""


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: what is written inside is kept together or not at all."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def home_of(name: str) -> Path | None:
    """The runs folder that an existing run folder called ``name`` lies in; None where ``name`` is no such folder."""
    folder = Path(name)
    home = folder.resolve().parent
    return home if folder.is_dir() and (home / FILE).is_file() else None


def cannot_write(folder: Path, error: OSError | sqlite3.Error) -> UserError:
    """Why the runs folder failed: another process is writing, the disk is full, or it is no place to write in."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if "locked" in said:
        return UserError(
            f"another process has been writing to {folder} for {_PATIENCE:.0f} s ({said})",
            "wait until it has ended, or use another --runs-dir DIR",
        )
    if "full" in said or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        fix = "make room, then run the same command again: it goes on where it stopped"
        return UserError(f"cannot write to {folder}: {said}", fix)
    return UserError(f"the runs folder {folder} cannot be used: {said}", "choose another with --runs-dir DIR")


def open_for_writing(file: Path) -> sqlite3.Connection:
    """Open a store, starting one where there is none.

    Raises:
        UserError: If it is another version's.
        OSError: If the folder cannot be made.
        sqlite3.Error: If the file is no database or cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(file, isolation_level=None, timeout=_PATIENCE)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        db.execute(f"PRAGMA {pragma}")
    with transaction(db):
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in filter(str.strip, _SCHEMA.split(";\n")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    return _checked(db, file)


def open_for_reading(file: Path) -> sqlite3.Connection:
    """Open without writing; where SQLite may not even make its own files beside the store, as an unchanging file.

    Raises:
        UserError: If it is another version's.
        sqlite3.Error: If the file is no database or cannot be read.
    """

    def opened(options: str) -> sqlite3.Connection:
        db = sqlite3.connect(f"{file.as_uri()}?{options}", uri=True, isolation_level=None, timeout=_PATIENCE)
        try:
            db.execute("PRAGMA query_only=ON")
            db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            db.close()
            raise
        return db

    try:
        # Not mode=ro, which leaves SQLite's own files behind where it may make them.
        return _checked(opened("mode=rw"), file)
    except sqlite3.OperationalError as error:
        log = file.with_name(f"{file.name}-wal")
        if "locked" in str(error):
            raise
        unchanging = not (log.is_file() and log.stat().st_size)
        return _checked(opened("mode=ro&immutable=1" if unchanging else "mode=ro"), file)


def _checked(db: sqlite3.Connection, file: Path) -> sqlite3.Connection:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        db.close()
        raise UserError(
            f"{file} has schema version {version}, this isrbench reads and writes version {SCHEMA_VERSION}",
            "use another --runs-dir, or the isrbench release that wrote it",
        )
    db.row_factory = sqlite3.Row
    return db
