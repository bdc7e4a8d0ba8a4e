"""What is left of a damaged store: the rows that can be read, checked one by one, as a new store."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isrbench.harness.api.records import Manifest, RunCost
from isrbench.harness.documents import read_text
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import refuse_to_replace, replacing
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.pages import Pages, Row
from isrbench.harness.store.schema import FILE, create_tables, insert, is_below, manifest_of

_KEYS = {
    "runs": ("run",), "images": ("run", "image"), "scores": ("run", "image", "metric"),
    "routing": ("run", "image", "position"), "hr_severities": ("hr_hash", "estimator"),
}  # fmt: skip
_KINDS: dict[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (int, float)}
Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Salvaged:
    """What could be read."""

    rows: Rows
    """By table, sorted by key; every image, score and routing belongs to a run that is there."""
    lost_runs: Mapping[str, int]
    """Runs of which neither the row nor RUN/manifest.json can be read, with the number of rows that went with them."""
    damaged_pages: int
    """Pages of the file in which a row could not be read."""

    @property
    def runs(self) -> list[tuple[str, str, str]]:
        """Return (run, images that are here, scores that are here), each number with the run's own: ``3 of 4``."""
        images, scores = (Counter(row["run"] for row in self.rows[table]) for table in ("images", "scores"))
        found = []
        for row in self.rows["runs"]:
            run, manifest = row["run"], Manifest.model_validate_json(row["manifest"])
            sets = sum(metric.reference == "set" for metric in manifest.metrics.values())
            wanted = manifest.dataset.images * (len(manifest.metrics) - sets) + sets
            found.append((run, f"{images[run]} of {manifest.dataset.images}", f"{scores[run]} of {wanted}"))
        return found


def salvage(folder: Path) -> Salvaged:
    """Read what is left of a runs folder's store, of version 4 to 6; nothing in the folder is changed.

    A run whose own row is lost is made again from RUN/manifest.json. What a byte within a number or a text was before
    nobody knows: rows are as the file has them.

    Raises:
        UserError: If there is no store, or nothing in it can be read.
    """
    pages = Pages(folder.resolve() / FILE)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        create_tables(db)
        layouts = _layouts(db)
        for row in pages.rows():
            _keep(db, layouts, row)
        kept = {table: _sorted(db, table) for table in _KEYS}
    runs = {row["run"]: row for row in kept["runs"]}
    unknown = {row["run"] for table in ("images", "scores", "routing") for row in kept[table]} - runs.keys()
    runs |= {run: row for run in unknown if (row := _run_of_manifest(folder, run))}
    lost = Counter(row["run"] for table in ("images", "scores", "routing") for row in kept[table])
    lost = {run: count for run, count in sorted(lost.items()) if run not in runs}
    rows = {table: [r for r in kept[table] if r["run"] in runs] for table in ("images", "scores", "routing")}
    rows = {"runs": [runs[run] for run in sorted(runs)], **rows, "hr_severities": kept["hr_severities"]}
    if not rows["runs"]:
        raise UserError(
            f"no run can be read in the store of {folder}",
            "`isrbench eval` restores again what it needs; the images that were restored lie in RUN/images",
        )
    return Salvaged(rows, lost, len(pages.damaged))


def write_store(salvaged: Salvaged, target: Path, *, overwrite: bool = False) -> None:
    """Write salvaged rows as a new store.

    Args:
        salvaged: The rows.
        target: The file; its folder has to be there.
        overwrite: Whether a file that is there is replaced.

    Raises:
        UserError: If a file is there, or the place cannot be written.
    """
    if not overwrite:
        refuse_to_replace([target], "pass --overwrite, or another --out")
    with (
        foreign(f"--out {target} cannot be written", "choose a place that can be written"),
        replacing(target) as partial,
        closing(sqlite3.connect(partial, isolation_level=None)) as db,
    ):
        db.execute("BEGIN")
        create_tables(db)
        for table, rows in salvaged.rows.items():
            for row in rows:
                insert(db, table, row)
        db.execute("COMMIT")


def _layouts(db: sqlite3.Connection) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Tables with their columns (name, type, whether it may be NULL), as files of version 4 to 6 have them."""
    found = []
    for table in _KEYS:
        columns = [(name, kind, not need) for _, name, kind, need, _, _ in db.execute(f"PRAGMA table_info({table})")]
        found.append((table, columns))
        if table == "images":  # version 5, version 4, and then 5 where it was brought up to date
            fifth = [column for column in columns if column[0] != "tiles"]
            older = [column for column in fifth if column[0] != "hr_hash"]
            found += [(table, fifth), (table, older), (table, [*older, ("hr_hash", "TEXT", True)])]
    return found


def _keep(db: sqlite3.Connection, layouts: Sequence[tuple[str, list[tuple[str, str, bool]]]], row: Row) -> None:
    """Put a row into the table that it fits, unless it is there, or its values cannot be."""
    for table, columns in layouts:
        if len(row) != len(columns) or not all(map(_fits, columns, row)):
            continue
        values = {name: value for (name, _, _), value in zip(columns, row, strict=True)}
        try:
            if table == "runs":
                _ = manifest_of(values["run"], values["manifest"]), values["cost"] and _cost(values["cost"])
            if table == "images" and values["output"] is not None and not is_below(values["output"]):
                continue
            if table == "images" and not all(values[d] is None or 0 <= values[d] <= 1 for d in DIMENSIONS):
                continue
            insert(db, table, values, "OR IGNORE")
            return
        except (ValueError, sqlite3.Error):  # a record that is none, or a value that the table itself refuses
            continue


def _cost(text: str) -> RunCost:
    return RunCost.model_validate_json(text)


def _fits(column: tuple[str, str, bool], value: Any) -> bool:
    _, kind, may_be_null = column
    return may_be_null if value is None else isinstance(value, _KINDS[kind])


def _sorted(db: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    cursor = db.execute(f"SELECT * FROM {table} ORDER BY {', '.join(_KEYS[table])}")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _run_of_manifest(folder: Path, run: str) -> dict[str, Any] | None:
    """A run's row from the manifest in its folder; None where that cannot be read."""
    if not run or "/" in run or run.startswith("."):  # what a damaged file says is not followed as a path
        return None
    try:
        manifest = Manifest.model_validate_json(read_text(folder / run / "manifest.json", ""))
    except (UserError, ValueError):
        return None
    if manifest.run != run:
        return None
    return {
        "run": run, "identity": manifest.identity, "method": manifest.name, "dataset": manifest.dataset.id,
        "created": manifest.created, "invoked": manifest.created, "computed": manifest.created,
        "manifest": manifest.model_dump_json(), "cost": None,
    }  # fmt: skip
