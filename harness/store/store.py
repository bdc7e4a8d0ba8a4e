"""One SQLite file holds every run's rows; one writer, one transaction an image. Typed rows go in and come out."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.api.records import ImageRow, Manifest, RunCost, ScoreRow
from isrbench.harness.errors import UserError
from isrbench.harness.files import check_file, is_there
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.connection import Connection, understood, why_unusable
from isrbench.harness.store.opening import open_for_reading, open_for_writing
from isrbench.harness.store.schema import (
    FILE,
    check_outputs,
    failure_columns,
    failure_of,
    home_of,
    insert,
    manifest_of,
    plain,
    severity_columns,
    transaction,
)
from isrbench.harness.store.state import RunState, newest, state_of

_ORDER = {"runs": "run", "images": "run, image", "scores": "run, image, metric", "routing": "run, image, position"}


def now() -> str:
    """Return the time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


class Store:
    """The rows of a runs folder. Not for sharing between threads: one writer.

    Args:
        folder: The runs folder.
        create: Open for writing, and start a store where there is none; False = only read what is there, which a
            folder without write permission allows too.

    Raises:
        UserError: If the folder cannot be written, the file is not a store, or its version cannot be used.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder.resolve()
        self.file = self.folder / FILE
        for ending in ("", "-wal", "-shm", "-journal"):  # SQLite's own files beside it: it would wait for a pipe
            if is_there(place := self.file.with_name(f"{FILE}{ending}")):
                check_file(place, "move it away, or use another --runs-dir DIR")
        if not create and not is_there(self.file):
            raise UserError(
                f"there are no runs in {folder}", "isrbench eval --method bicubic --dataset sample, or give --runs-dir"
            )
        try:
            # autocommit; transactions are explicit
            self._db = open_for_writing(self.file) if create else open_for_reading(self.file)
        except (OSError, sqlite3.Error) as error:
            raise why_unusable(folder, error) from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Keep all that is written inside the block, or nothing of it; yields the database."""
        with transaction(self._db):
            yield self._db

    def close(self) -> None:
        """Close the file; committed rows are safe without it."""
        self._db.close()

    # Writing

    def add_run(self, manifest: Manifest) -> None:
        """Add a run, or give the known run its newer manifest."""
        self._db.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) "
            "ON CONFLICT (run) DO UPDATE SET manifest = excluded.manifest, computed = excluded.computed",
            (
                manifest.run, manifest.identity, manifest.name, manifest.dataset.id, manifest.created, now(), now(),
                manifest.model_dump_json(),
            ),
        )  # fmt: skip

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

    def set_cost(self, run: str, cost: RunCost) -> None:
        """Keep a run's MACs, parameters, latency and memory."""
        self._db.execute("UPDATE runs SET cost = ? WHERE run = ?", (cost.model_dump_json(), run))

    def add_image(self, row: ImageRow, trace: RoutingTrace | None) -> None:
        """Write one image's row and routing in one transaction, replacing an earlier attempt and all its scores.

        Values of the whole set go too: they were computed from another image. A severity is that of the LR, and stays
        where the new row has none.
        """
        with self.transaction():
            fields = row.model_dump(mode="json", exclude={"failure", "severity"})
            severity = severity_columns(row.severity)
            if row.severity is None:
                query = f"SELECT estimator, {', '.join(severity)} FROM images WHERE run = ? AND image = ?"
                severity |= dict(self._db.execute(query, (row.run, row.image)).fetchone() or {})
            self._db.execute("DELETE FROM scores WHERE run = ? AND image = ''", (row.run,))
            for table in ("images", "scores", "routing"):
                self._db.execute(f"DELETE FROM {table} WHERE run = ? AND image = ?", (row.run, row.image))
            insert(self._db, "images", fields | failure_columns(row.failure) | severity)
            if trace is not None:
                self._db.executemany(
                    "INSERT INTO routing VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        plain((row.run, row.image, i, *entry))
                        for i, entry in enumerate(zip(trace.layers, trace.active, trace.zero, strict=True))
                    ],
                )

    def add_scores(self, rows: Sequence[ScoreRow]) -> None:
        """Write scores in one transaction; a newer value replaces a failed or unavailable one."""
        with self.transaction():
            for row in rows:
                fields = row.model_dump(exclude={"failure", "status"}) | {"status": row.status.value}
                insert(self._db, "scores", fields | failure_columns(row.failure), "OR REPLACE")

    def set_severity(self, run: str, image: str, estimator: str, severity: Sequence[float]) -> None:
        """Keep an image's seven severities in [0, 1] and their mean, with the version of what estimated them."""
        columns = severity_columns(severity)
        self._db.execute(
            f"UPDATE images SET estimator = ?, {', '.join(f'{c} = ?' for c in columns)} WHERE run = ? AND image = ?",
            plain((estimator, *columns.values(), run, image)),
        )

    def set_places(self, run: str, places: Mapping[str, tuple[str, str | None, str | None]]) -> None:
        """Keep where images lie now and their true levels, by image: (LR path, HR path, level).

        Counts as a change of the run: reports show both.
        """
        with self.transaction():
            self._db.execute("UPDATE runs SET computed = ? WHERE run = ?", (now(), run))
            self._db.executemany(
                "UPDATE images SET lr = ?, hr = ?, level = ? WHERE run = ? AND image = ?",
                [(*place, run, image) for image, place in places.items()],
            )

    def add_hr_severity(self, hr_hash: str, estimator: str, severity: float) -> None:
        """Keep the severity in [0, 1] of an HR image, by its content: every run on that image shares it."""
        self._db.execute("INSERT OR REPLACE INTO hr_severities VALUES (?, ?, ?)", plain((hr_hash, estimator, severity)))

    def add_hr_severities(self, severities: Mapping[tuple[str, str], float]) -> None:
        """Keep severities of HR images (:meth:`hr_severities`) that are not there yet."""
        rows = [(*key, severity) for key, severity in severities.items()]
        self._db.executemany("INSERT OR IGNORE INTO hr_severities VALUES (?, ?, ?)", rows)

    def set_hr_hashes(self, run: str, hashes: Mapping[str, str]) -> None:
        """Keep which HR each image of a run has, by image; counts as a change of the run."""
        with self.transaction():
            self._db.execute("UPDATE runs SET computed = ? WHERE run = ?", (now(), run))
            self._db.executemany(
                "UPDATE images SET hr_hash = ? WHERE run = ? AND image = ?",
                [(hr_hash, run, image) for image, hr_hash in hashes.items()],
            )

    # Reading

    def manifest(self, run: str) -> Manifest:
        """Return a run's manifest.

        Raises:
            KeyError: If there is no such run.
        """
        found = self._db.execute("SELECT manifest FROM runs WHERE run = ?", (run,)).fetchone()
        if found is None:
            raise KeyError(run)
        with understood(self.folder):
            return manifest_of(run, found["manifest"])

    def cost(self, run: str) -> RunCost | None:
        """Return what is known of a run's cost; None while nothing was counted."""
        found = self._db.execute("SELECT cost FROM runs WHERE run = ?", (run,)).fetchone()
        with understood(self.folder):
            return RunCost.model_validate_json(found["cost"]) if found and found["cost"] else None

    def images(self, run: str) -> list[ImageRow]:
        """Return a run's images, sorted by id."""
        rows = []
        for row in self.rows("images", [run]):
            severity = None if row["severity"] is None else tuple(row[d] for d in DIMENSIONS)
            fields = {key: row[key] for key in ImageRow.model_fields if key in row and key != "severity"}
            with understood(self.folder):
                rows.append(ImageRow(**fields, severity=severity, failure=failure_of(row)))
        return rows

    def scores(self, run: str) -> list[ScoreRow]:
        """Return a run's scores, sorted by image and metric."""
        fields = [key for key in ScoreRow.model_fields if key != "failure"]
        rows = self.rows("scores", [run])
        with understood(self.folder):
            return [ScoreRow(**{key: row[key] for key in fields}, failure=failure_of(row)) for row in rows]

    def rows(self, table: str, runs: Sequence[str]) -> list[dict[str, Any]]:
        """Return all rows of ``table`` (runs, images, scores or routing) as stored, in the order of the key."""
        return [dict(row) for row in self._select("*", table, runs)]

    def columns(self, table: str, names: Sequence[str], runs: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return some columns of what :meth:`rows` returns: a million rows of routing take a third of the memory."""
        return [tuple(row) for row in self._select(", ".join(names), table, runs)]

    def _select(self, what: str, table: str, runs: Sequence[str]) -> list[sqlite3.Row]:
        marks = ", ".join("?" * len(runs))
        query = f"SELECT {what} FROM {table} WHERE run IN ({marks}) ORDER BY {_ORDER[table]}"
        rows = self._db.execute(query, tuple(runs)).fetchall()
        if table == "images" and rows and "output" in rows[0].keys():  # noqa: SIM118 - a row iterates over its values
            check_outputs(self.folder, rows)
        return rows

    def hr_severities(self) -> dict[tuple[str, str], float]:
        """Return the severity of every HR image that has one, by (hash of its pixels, version of the estimator)."""
        return {(row[0], row[1]): row[2] for row in self._db.execute("SELECT * FROM hr_severities")}

    def run_ids(self) -> list[str]:
        """Return every run; the one that was asked for last comes last."""
        return [row["run"] for row in self._db.execute("SELECT run FROM runs ORDER BY invoked, created, run")]

    def runs_of(self, identity: str) -> list[str]:
        """Return the runs of one identity, the oldest first."""
        query = "SELECT run FROM runs WHERE identity = ? ORDER BY created, run"
        return [row["run"] for row in self._db.execute(query, (identity,))]

    def states(self) -> list[RunState]:
        """Return how far every run got, in the order of :meth:`run_ids`."""
        images = {
            row["run"]: (row["all"], row["lost"])
            for row in self._db.execute(
                "SELECT run, COUNT(*) AS 'all', SUM(status <> 'ok') AS lost FROM images GROUP BY run"
            )
        }
        scores: dict[str, dict[str, int]] = {}
        for row in self._db.execute("SELECT run, metric, COUNT(*) AS n FROM scores GROUP BY run, metric"):
            scores.setdefault(row["run"], {})[row["metric"]] = row["n"]
        failed = dict(
            self._db.execute(
                "SELECT run, COUNT(*) FROM (SELECT run, image FROM images WHERE status <> 'ok' "
                "UNION SELECT run, image FROM scores WHERE status = 'failed') GROUP BY run"
            ).fetchall()
        )
        runs = self._db.execute("SELECT run, invoked, manifest FROM runs ORDER BY invoked, created, run").fetchall()
        with understood(self.folder):
            return [
                state_of(
                    manifest_of(row["run"], row["manifest"]), row["invoked"], images.get(row["run"], (0, 0)),
                    scores.get(row["run"], {}), failed.get(row["run"], 0),
                )
                for row in runs
            ]  # fmt: skip

    def newest_runs(self) -> list[str]:
        """Return the run that stands for each method and set: :func:`isrbench.harness.store.state.newest`."""
        return newest(self.states())

    def repeats(self, runs: Sequence[str]) -> list[str]:
        """Return the runs that repeat one of ``runs`` under another seed, sorted."""
        return sorted(state.run for state in self.states() if state.repeat_of in set(runs))

    def last_computed(self) -> str:
        """Return when any run last changed its rows (ISO 8601, UTC); "" without runs."""
        return self._db.execute("SELECT MAX(computed) FROM runs").fetchone()[0] or ""

    def find_run(self, name: str) -> str:
        """Return the run that ``name`` means: an id, a run folder, or ``latest``, the run that was asked for last.

        Raises:
            UserError: If there is none, or the folder lies in another runs folder.
        """
        known = self.run_ids()
        if name == "latest" and known:
            return known[-1]
        home = home_of(name)
        if home is not None and home != self.folder:
            raise UserError(f"the run folder {name} lies in {home}, not in {self.folder}", f"give --runs-dir {home}")
        if is_there(Path(name) / FILE):
            raise UserError(f"{name} is a runs folder, not a run", f"for all of its runs: --runs-dir {name}")
        wanted = Path(name).resolve().name if home is not None else Path(name).name
        if wanted in known:
            return wanted
        older = f" and {len(known) - 5} older" if len(known) > 5 else ""
        raise UserError(
            f"unknown run '{name}' in {self.folder}. Runs: {', '.join(known[-5:]) or 'none'}{older}",
            f"isrbench runs list --runs-dir {self.folder}",
        )
