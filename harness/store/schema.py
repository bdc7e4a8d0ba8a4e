"""The SQLite file behind a store: its tables, how it is opened, and how an older one is brought up to date."""

from __future__ import annotations

import itertools
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path, PurePath
from typing import Any

from isrbench.harness.api.records import Failure, Manifest
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_there, replacing, shown
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store import version3
from isrbench.harness.store.connection import PATIENCE, Connection, damaged

log = logging.getLogger(__name__)

FILE = "isrbench.sqlite"
SCHEMA_VERSION = 6
OLDEST = 3
"""The oldest version that is brought up to date; older ones and newer ones are refused."""

_FAILURE = "message TEXT, fix TEXT, traceback TEXT"

_HR_SEVERITIES = """
CREATE TABLE hr_severities (
    hr_hash TEXT NOT NULL, estimator TEXT NOT NULL, severity REAL NOT NULL, PRIMARY KEY (hr_hash, estimator)
) WITHOUT ROWID"""

_IMAGES = f"""
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
{_IMAGES};
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
{_HR_SEVERITIES};
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
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
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
    odd = next((str(run) for (run,) in db.execute("SELECT run FROM runs") if not _is_name(run)), None)
    if odd is not None:
        db.close()
        raise damaged(file.parent, f"it has a run called '{shown(odd)}', which is no folder's name")
    db.row_factory, db.folder = sqlite3.Row, file.parent
    return db


def is_below(path: str) -> bool:
    """Return whether a stored path stays in the runs folder: whoever sent the store must not say where we write."""
    place = PurePath(path)
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts


def _is_name(run: Any) -> bool:
    return isinstance(run, str) and is_below(run) and len(PurePath(run).parts) == 1


def manifest_of(run: str, text: str) -> Manifest:
    """Read the manifest of a run's row.

    Raises:
        ValueError: If it is none, the run's id is no folder's name, or the manifest is another run's.
    """
    manifest = Manifest.model_validate_json(text)
    if not _is_name(run) or manifest.run != run:
        raise ValueError(f"the run '{shown(run)}' has the manifest of '{shown(manifest.run)}'")
    return manifest


def _check_tables(db: sqlite3.Connection, file: Path, needed: set[str]) -> None:
    absent = needed - {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    if absent:
        raise damaged(file.parent, f"it has no table {', '.join(sorted(absent))}")


def create_tables(db: sqlite3.Connection) -> None:
    """Make the tables of today's version in an empty database."""
    for statement in filter(str.strip, _SCHEMA.split(";\n")):
        db.execute(statement)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


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
                    db.execute(_HR_SEVERITIES)
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
    db.execute(_IMAGES)
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
