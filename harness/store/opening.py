"""How a store is opened, and how one of an older version is brought up to date."""

from __future__ import annotations

import itertools
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing, shown
from isrbench.harness.store import version3
from isrbench.harness.store.connection import PATIENCE, Connection, damaged
from isrbench.harness.store.schema import (
    HR_SEVERITIES,
    IMAGES,
    SCHEMA_VERSION,
    create_tables,
    failure_columns,
    insert,
    is_name,
    transaction,
)

log = logging.getLogger(__name__)

OLDEST = 3
"""The oldest version that is brought up to date; older ones and newer ones are refused."""


def open_for_writing(file: Path) -> Connection:
    """Open a store, starting one where there is none and bringing an older one up to date.

    Raises:
        UserError: If its version cannot be used.
        OSError: If the folder cannot be made.
        sqlite3.Error: If the file is not a database or cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(file, isolation_level=None, timeout=PATIENCE, factory=Connection)
    try:
        # NORMAL: what is committed survives the process, however it ends. A power failure may take the last commits
        # with it, those since the store was opened at most, and the same command computes them again.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            db.execute(f"PRAGMA {pragma}")
        if OLDEST <= _version(db) < SCHEMA_VERSION:
            _migrate(db, file)
        with transaction(db):
            if _version(db) == 0:
                create_tables(db)
        return _checked(db, file)
    except BaseException:
        db.close()
        raise


def open_for_reading(file: Path) -> Connection:
    """Open without writing; where SQLite may not even make its own files beside the store, as an unchanging file.

    Raises:
        UserError: If its version cannot be used, or it is an older one in a folder that cannot be written.
        sqlite3.Error: If the file is not a database or cannot be read.
    """

    def opened(options: str) -> Connection:
        name = f"{file.as_uri()}?{options}"
        db = sqlite3.connect(name, uri=True, isolation_level=None, timeout=PATIENCE, factory=Connection)
        try:
            db.execute("PRAGMA query_only=ON")
            db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            db.close()
            raise
        return db

    try:
        # Not mode=ro, which leaves SQLite's own files behind where it may make them.
        return _current(opened("mode=rw"), file, lambda: opened("mode=rw"))
    except sqlite3.OperationalError as error:
        log_file = file.with_name(f"{file.name}-wal")
        if "locked" in str(error):
            raise
        unchanging = not (log_file.is_file() and log_file.stat().st_size)
        return _checked(opened("mode=ro&immutable=1" if unchanging else "mode=ro"), file)


def _current(db: Connection, file: Path, again: Any) -> Connection:
    """A reader of an up-to-date store: an older one is brought up to date first."""
    if OLDEST <= _version(db) < SCHEMA_VERSION:
        db.close()
        open_for_writing(file).close()
        db = again()
    return _checked(db, file)


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _checked(db: Connection, file: Path) -> Connection:
    version = _version(db)
    if version == 0 and not file.stat().st_size:
        db.close()
        raise UserError(
            f"{file} is empty (0 bytes): nothing was stored in it yet, or it was cut off",
            "put a copy back if there is one; `isrbench eval` begins anew in it",
        )
    if version != SCHEMA_VERSION:
        db.close()
        older = OLDEST <= version < SCHEMA_VERSION
        raise UserError(
            f"{file} has schema version {version}, this isrbench reads and writes version {SCHEMA_VERSION}",
            "copy the runs folder to a place that can be written: it is brought up to date there" if older else
            "use another --runs-dir, or the isrbench release that wrote it",
        )  # fmt: skip
    try:
        _check_tables(db, file, {"runs", "images", "scores", "routing", "hr_severities"})
    except UserError:
        db.close()
        raise
    odd = next((str(run) for (run,) in db.execute("SELECT run FROM runs") if not is_name(run)), None)
    if odd is not None:
        db.close()
        raise damaged(file.parent, f"it has a run called '{shown(odd)}', which is not a folder's name")
    db.row_factory, db.folder = sqlite3.Row, file.parent
    return db


def _check_tables(db: sqlite3.Connection, file: Path, needed: set[str]) -> None:
    absent = needed - {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    if absent:
        raise damaged(file.parent, f"it has no table {', '.join(sorted(absent))}")


def _migrate(db: sqlite3.Connection, file: Path) -> None:
    """Bring an older version up to date, in one transaction that also covers a copy of the file, made beside it.

    Scores keep the version of what computed them: today's code computes them again, as it would after any change.
    """
    backup = None
    try:
        with transaction(db):
            if _version(db) >= SCHEMA_VERSION:  # another process was faster
                return
            _check_tables(db, file, {"runs", "images", "scores", "routing"})
            backup = _back_up(file, _version(db))
            if _version(db) == 3:
                _convert(db)
            else:
                if _version(db) == 4:
                    db.execute("ALTER TABLE images ADD COLUMN hr_hash TEXT")
                    db.execute(HR_SEVERITIES)
                _renew_images(db)
                db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except BaseException:
        if backup is not None:  # nothing was changed that it could be the older state of
            backup.unlink(missing_ok=True)
        raise
    log.warning("%s was brought up to date; the old file is kept as %s", file, backup.name)


def _renew_images(db: sqlite3.Connection) -> None:
    """Version 6 has another status and another column; SQLite changes a CHECK in a new table only."""
    db.execute("ALTER TABLE images RENAME TO older_images")
    columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(older_images)"))
    db.execute(IMAGES)
    db.execute(f"INSERT INTO images ({columns}) SELECT {columns} FROM older_images")
    db.execute("DROP TABLE older_images")


def _convert(db: sqlite3.Connection) -> None:
    old = {}
    for table in ("routing", "scores", "images", "runs"):
        cursor = db.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in cursor.description]
        old[table] = [dict(zip(names, row, strict=True)) for row in cursor]
        db.execute(f"DROP TABLE {table}")
    create_tables(db)
    converters = {
        "runs": version3.run_of_3, "images": version3.image_of_3, "scores": version3.score_of_3, "routing": dict,
    }  # fmt: skip
    for table, convert in converters.items():
        for row in map(convert, old[table]):
            failure = failure_columns(row.pop("failure")) if "failure" in row else {}
            insert(db, table, row | failure)


def _back_up(file: Path, version: int) -> Path:
    """Copy the file to a free name; the caller keeps others from writing to it or taking the name."""
    stem = f"{file.stem}-v{version}-backup"
    names = itertools.chain([f"{stem}.sqlite"], (f"{stem}-{n}.sqlite" for n in itertools.count(2)))
    backup = next(place for place in map(file.with_name, names) if not place.exists())
    # A connection of its own: that of the caller has begun to write.
    with replacing(backup) as new, closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(new)) as copy:
        source.backup(copy)
    return backup
