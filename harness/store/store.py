"""One SQLite file holds every run's rows; one writer, one transaction an image."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.schema import FILE, cannot_write, home_of, open_for_reading, open_for_writing, transaction
from isrbench.harness.store.state import RunState, newest, state_of


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
    protocol: str | None = None
    """:func:`isrbench.harness.metrics.version.protocol_key` of what computed it."""


def now() -> str:
    """The time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


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
    adapter_macs: int | None = None
    """MACs of the active experts, as if run beside the base; None where not counted."""
    adapter_params: int | None = None
    """Parameters of the active experts and of the routers; None where not counted."""


class Store:
    """The rows of a runs folder. Not for sharing between threads: one writer.

    Args:
        folder: The runs folder.
        create: Open for writing, and start a store where there is none; False = only read what is there, which a
            folder without write permission allows too.

    Raises:
        UserError: If the folder cannot be written, the file is no store, or its schema is another version's.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder.resolve()
        self.file = self.folder / FILE
        if not create and not self.file.is_file():
            raise UserError(
                f"there are no runs in {folder}", "isrbench eval --method bicubic --dataset sample, or give --runs-dir"
            )
        try:
            # autocommit; transactions are explicit
            self._db = open_for_writing(self.file) if create else open_for_reading(self.file)
        except (OSError, sqlite3.Error) as error:
            raise cannot_write(folder, error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: what is written inside is kept together or not at all."""
        with transaction(self._db):
            yield

    def close(self) -> None:
        """Close the file; committed rows are safe without it."""
        self._db.close()

    def add_run(self, run: str, method: str, dataset: str, manifest: dict[str, Any]) -> None:
        """Add a run, or give the known run its newer manifest."""
        self._db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, NULL) "
            "ON CONFLICT (run) DO UPDATE SET manifest = excluded.manifest, computed = excluded.computed",
            (run, method, dataset, manifest["created"], now(), now(), json.dumps(manifest)),
        )

    def forget(self, run: str, scores: Sequence[tuple[str, str]], estimator: str | None) -> None:
        """Drop what no longer holds: these (image, metric) scores, and severities by any other estimator than this."""
        self._db.executemany(
            "DELETE FROM scores WHERE run = ? AND image = ? AND metric = ?", [(run, *score) for score in scores]
        )
        if estimator is not None:
            columns = ", ".join(f"{d} = NULL" for d in DIMENSIONS)
            self._db.execute(
                f"UPDATE images SET estimator = NULL, severity = NULL, {columns} WHERE run = ? AND estimator <> ?",
                (run, estimator),
            )

    def touch(self, run: str) -> None:
        """Note that a run was asked for now. A folder that cannot be written goes without the note."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.file, isolation_level=None, timeout=1)) as db:
            db.execute("UPDATE runs SET invoked = ? WHERE run = ?", (now(), run))

    def set_complexity(self, run: str, complexity: dict[str, Any]) -> None:
        """Keep a run's MACs, parameters, latency and memory."""
        self._db.execute("UPDATE runs SET complexity = ? WHERE run = ?", (json.dumps(complexity), run))

    def add_image(self, row: ImageRow, trace: RoutingTrace | None) -> None:
        """Write one image's row and routing in one transaction, replacing an earlier attempt and all its scores.

        Values of the whole set go too: they were computed from another image.
        """
        with self.transaction():
            self._db.execute("DELETE FROM scores WHERE run = ? AND image = ''", (row.run,))
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
        """Every run; the one that was asked for last comes last."""
        return [row["run"] for row in self._db.execute("SELECT run FROM runs ORDER BY invoked, created, run")]

    def states(self) -> list[RunState]:
        """How far every run got, in the order of :meth:`run_ids`."""
        images = {
            row["run"]: (row["all"], row["lost"])
            for row in self._db.execute(
                "SELECT run, COUNT(*) AS 'all', SUM(status = 'failed') AS lost FROM images GROUP BY run"
            )
        }
        scores: dict[str, dict[str, int]] = {}
        for row in self._db.execute("SELECT run, metric, COUNT(*) AS n FROM scores GROUP BY run, metric"):
            scores.setdefault(row["run"], {})[row["metric"]] = row["n"]
        failed = dict(
            self._db.execute(
                "SELECT run, COUNT(*) FROM (SELECT run, image FROM images WHERE status = 'failed' "
                "UNION SELECT run, image FROM scores WHERE status = 'failed') GROUP BY run"
            ).fetchall()
        )
        runs = self._db.execute("SELECT * FROM runs ORDER BY invoked, created, run").fetchall()
        return [
            state_of(row, images.get(row["run"], (0, 0)), scores.get(row["run"], {}), failed.get(row["run"], 0))
            for row in runs
        ]

    def newest_runs(self) -> list[str]:
        """The run that stands for each (method, dataset): :func:`isrbench.harness.store.state.newest`."""
        return newest(self.states())

    def last_computed(self) -> str:
        """When any run last changed its rows (ISO 8601, UTC); "" without runs."""
        return self._db.execute("SELECT MAX(computed) FROM runs").fetchone()[0] or ""

    def find_run(self, name: str) -> str:
        """The run that ``name`` means: an id, a run folder, or ``latest``, the run that was asked for last.

        Raises:
            UserError: If there is none, or the folder lies in another runs folder.
        """
        known = self.run_ids()
        if name == "latest" and known:
            return known[-1]
        home = home_of(name)
        if home is not None and home != self.folder:
            raise UserError(f"the run folder {name} lies in {home}, not in {self.folder}", f"give --runs-dir {home}")
        wanted = Path(name).resolve().name if home is not None else Path(name).name
        if wanted in known:
            return wanted
        raise UserError(
            f"there is no run '{name}' in {self.folder}. Runs: {', '.join(known[-5:]) or 'none'}", "isrbench list runs"
        )

    def _insert(self, table: str, values: dict[str, Any], conflict: str = "") -> None:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(f"INSERT {conflict} INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
