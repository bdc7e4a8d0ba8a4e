"""One SQLite file holds every run's rows; one writer, one transaction an image."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.frames import DIMENSIONS
from harness.method import RoutingTrace

SCHEMA_VERSION = 1
"""Bumped when a table changes; an older file is refused with the way out, never altered quietly."""

_SCHEMA = f"""
CREATE TABLE runs (
    run TEXT PRIMARY KEY, method TEXT NOT NULL, dataset TEXT NOT NULL, created TEXT NOT NULL,
    manifest TEXT NOT NULL, complexity TEXT
) WITHOUT ROWID;
CREATE TABLE images (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('ok', 'failed')),
    error TEXT, seconds REAL, output TEXT, output_hash TEXT, lr TEXT NOT NULL, hr TEXT, level TEXT,
    estimator TEXT, severity REAL, {", ".join(f"{d} REAL" for d in DIMENSIONS)}, active_experts REAL,
    PRIMARY KEY (run, image)
) WITHOUT ROWID;
CREATE TABLE scores (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, metric TEXT NOT NULL, value REAL,
    status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'unavailable', 'no-reference')), error TEXT,
    CHECK ((status = 'ok') = (value IS NOT NULL)), PRIMARY KEY (run, image, metric)
) WITHOUT ROWID;
CREATE TABLE routing (
    run TEXT NOT NULL REFERENCES runs, image TEXT NOT NULL, position INTEGER NOT NULL, layer TEXT NOT NULL,
    active INTEGER NOT NULL, zero INTEGER NOT NULL, PRIMARY KEY (run, image, position)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class ScoreRow:
    """One value of one metric for one image; long form."""

    run: str
    image: str
    """Image id; "" for a metric of the whole set."""
    metric: str
    value: float | None
    """None unless status is "ok"; never 0 for something missing."""
    status: str
    """"ok", "failed", "unavailable" (weights absent) or "no-reference" (the set has no HR)."""
    error: str | None = None


@dataclass(frozen=True)
class ImageRow:
    """What happened to one image of a run."""

    run: str
    image: str
    status: str
    """"ok" or "failed"."""
    lr: str
    """Absolute path of the LR file."""
    hr: str | None = None
    level: str | None = None
    error: str | None = None
    """Traceback of a failure."""
    seconds: float | None = None
    """Wall-clock seconds of ``restore``."""
    output: str | None = None
    """PNG's path relative to the runs folder."""
    output_hash: str | None = None
    """sha256 of the PNG's bytes."""
    active_experts: float | None = None
    """Mean over the adapted layers; None for methods that do not route."""


class Store:
    """The rows of a runs folder. Not for sharing between threads: one writer.

    Raises:
        UserError: If the folder cannot be written, the file is no store, or its schema is another version's.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder.resolve()
        self.file = self.folder / "isrbench.sqlite"
        if not create and not self.file.is_file():
            raise UserError(
                f"there are no runs in {folder}", "isrbench eval --method bicubic --dataset sample, or give --runs-dir"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # autocommit; transactions are explicit
            self._db = sqlite3.connect(self.file, isolation_level=None, timeout=30)
            self._db.row_factory = sqlite3.Row
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"the runs folder {folder} cannot be used: {error}", "choose another with --runs-dir DIR"
            ) from error

    def _open(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        with self.transaction():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";\n")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise UserError(
                    f"{self.file} has schema version {version}, this isrbench writes version {SCHEMA_VERSION}",
                    "use another --runs-dir, or the isrbench release that wrote it",
                )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what is written inside is kept together or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file; committed rows are safe without it."""
        self._db.close()

    def add_run(self, run: str, method: str, dataset: str, manifest: dict[str, Any]) -> None:
        """Add a run, or give the known run its newer manifest."""
        self._db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, NULL) "
            "ON CONFLICT (run) DO UPDATE SET manifest = excluded.manifest",
            (run, method, dataset, manifest["created"], json.dumps(manifest)),
        )

    def set_complexity(self, run: str, complexity: dict[str, Any]) -> None:
        """Keep a run's MACs, parameters, latency and memory."""
        self._db.execute("UPDATE runs SET complexity = ? WHERE run = ?", (json.dumps(complexity), run))

    def add_image(self, row: ImageRow, trace: RoutingTrace | None) -> None:
        """Write one image's row and routing in one transaction, replacing a failed attempt and its scores."""
        with self.transaction():
            for table in ("images", "scores", "routing"):
                self._db.execute(f"DELETE FROM {table} WHERE run = ? AND image = ?", (row.run, row.image))
            self._insert("images", asdict(row))
            if trace is not None:
                self._db.executemany(
                    "INSERT INTO routing VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (row.run, row.image, i, *entry)
                        for i, entry in enumerate(zip(trace.layers, trace.active, trace.zero, strict=True))
                    ],
                )

    def add_scores(self, rows: Sequence[ScoreRow]) -> None:
        """Write scores in one transaction; a newer value replaces a failed or unavailable one."""
        with self.transaction():
            for row in rows:
                self._insert("scores", asdict(row), "OR REPLACE")

    def set_severity(self, run: str, image: str, estimator: str, s: Sequence[float]) -> None:
        """Keep an image's seven severities in [0, 1] and their mean, with the estimator that gave them."""
        columns = ", ".join(f"{d} = ?" for d in DIMENSIONS)
        self._db.execute(
            f"UPDATE images SET estimator = ?, severity = ?, {columns} WHERE run = ? AND image = ?",
            (estimator, sum(s) / len(s), *s, run, image),
        )

    def rows(self, table: str, runs: Sequence[str]) -> list[dict[str, Any]]:
        """All rows of ``table`` (runs, images, scores or routing) for these runs, in the order of the key."""
        marks = ", ".join("?" * len(runs))
        order = {
            "runs": "run",
            "images": "run, image",
            "scores": "run, image, metric",
            "routing": "run, image, position",
        }
        query = f"SELECT * FROM {table} WHERE run IN ({marks}) ORDER BY {order[table]}"
        return [dict(row) for row in self._db.execute(query, tuple(runs))]

    def run_ids(self) -> list[str]:
        """Every run, oldest first."""
        return [row["run"] for row in self._db.execute("SELECT run FROM runs ORDER BY created, run")]

    def newest_runs(self) -> list[str]:
        """The newest run of every (method, dataset), in the order of method and dataset."""
        query = "SELECT run, method, dataset FROM runs ORDER BY created, run"
        newest = {(row["method"], row["dataset"]): row["run"] for row in self._db.execute(query)}
        return [newest[key] for key in sorted(newest)]

    def find_run(self, name: str) -> str:
        """The run that ``name`` means: an id, a run folder, or ``latest``.

        Raises:
            UserError: If there is none.
        """
        known = self.run_ids()
        if name == "latest" and known:
            return known[-1]
        wanted = Path(name).name
        if wanted in known:
            return wanted
        raise UserError(
            f"there is no run '{name}' in {self.folder}. Runs: {', '.join(known[-5:]) or 'none'}", "isrbench list runs"
        )

    def _insert(self, table: str, values: dict[str, Any], conflict: str = "") -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(f"INSERT {conflict} INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
