"""A store whose file was damaged: named wherever it is read or written, and what is left of it is saved."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from isrbench.harness.api.records import ImageRow
from isrbench.harness.engine.listing import listing
from isrbench.harness.engine.merging import merge
from isrbench.harness.errors import UserError
from isrbench.harness.store.connection import why_unusable
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.salvage import Salvaged, salvage, write_store
from isrbench.harness.store.schema import FILE, SCHEMA_VERSION
from isrbench.harness.store.store import Store
from isrbench.harness.store.summary import summarise
from tests.support import stores
from tests.support.cli import isrbench

_PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[bytes, dict[str, list[dict[str, Any]]]]:
    """The bytes of a store that is sound, and its rows."""
    file = stores.write_store(tmp_path_factory.mktemp("whole")) / FILE
    return file.read_bytes(), stores.rows_of(file)


def _read_and_write(folder: Path) -> None:
    """Everything that eval, list, report and export ask of a store."""
    for create in (False, True):
        with Store(folder, create=create) as store:
            runs = store.newest_runs()
            load_frames(store, runs)
            _ = store.last_computed(), store.hr_severities(), store.states()
            for run in store.run_ids():
                _ = store.manifest(run), store.cost(run), store.images(run), store.scores(run)
                summarise(store, run, ["psnr"])
            if create:
                store.add_image(ImageRow(run="one", image="i001", status="ok", lr="/lr"), None)
    listing("runs", folder)


def _found(got: Salvaged, rows: dict[str, list[dict[str, Any]]]) -> int:
    """How many rows are as they were; there may be no others but runs made again from their manifests."""
    known = {table: {repr(sorted(row.items())) for row in rows[table]} for table in rows}
    same = 0
    for table, kept in got.rows.items():
        for row in kept:
            as_it_was = repr(sorted(row.items())) in known[table]
            assert as_it_was or (table == "runs" and row["cost"] is None), row
            same += as_it_was
    return same


@pytest.mark.parametrize("fill", [b"\0", b"\xa5", b"\x0a\x00\x00\x00\x7f\xff"], ids=["zeros", "a5", "like a page"])
def test_any_page_that_is_overwritten_is_named_and_the_other_rows_are_saved(whole, fill: bytes, tmp_path: Path) -> None:
    data, rows = whole
    total = sum(map(len, rows.values()))
    stores.write_store(tmp_path / "runs", images=1)
    refused = 0
    for start in range(0, len(data), _PAGE if fill == b"\0" else 3 * _PAGE):
        bad = (fill * _PAGE)[:_PAGE]
        (tmp_path / "runs" / FILE).write_bytes(data[:start] + bad + data[start + _PAGE :])
        kept = _found(salvage(tmp_path / "runs"), rows)
        # A page holds at most this many rows of this store; those of text that goes on in other pages are few.
        assert kept >= total - 200, (start // _PAGE, kept, total)
        try:
            _read_and_write(tmp_path / "runs")
        except UserError as error:
            refused += 1
            assert "isrbench runs salvage" in (error.fix or "") or "schema version" in error.message, error
    assert refused > 5


def test_bytes_that_flip_never_end_in_a_traceback(whole, tmp_path: Path) -> None:
    """Most of them hit texts and numbers, which nobody can tell from others; then rows differ, or one is left out."""
    data, _ = whole
    stores.write_store(tmp_path / "runs", images=1)
    draw = random.Random(0)
    for _ in range(30):
        bad = bytearray(data)
        for _ in range(draw.choice((1, 8, 64))):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        (tmp_path / "runs" / FILE).write_bytes(bad)
        for work in (_read_and_write, salvage):
            with suppress(UserError):
                work(tmp_path / "runs")


def _without_table(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("DROP TABLE scores")


def _other_database(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE notes (text)")
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _other_database_of_an_older_version(file: Path) -> None:
    _other_database(file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version=5")


def _no_record(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE runs SET manifest = '{\"run\": 1}' WHERE run = 'one'")
        db.commit()


def _no_text(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE images SET lr = CAST(x'ff41' AS TEXT) WHERE run = 'one'")
        db.commit()


def _in_place(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda file: (file.unlink(), make(file))


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda file: file.write_bytes(b""), "is empty (0 bytes)"),
        (lambda file: file.write_bytes(b"hello" * 500), "is damaged: file is not a database"),
        (lambda file: file.write_bytes(file.read_bytes()[:5000]), "is damaged: database disk image is malformed"),
        (lambda file: file.write_bytes(b"S" + b"\0" * 99 + file.read_bytes()[100:]), "is damaged: file is not a data"),
        (_without_table, "is damaged: it has no table scores"),
        (_other_database, "is damaged: it has no table hr_severities, images, routing, runs, scores"),
        (_other_database_of_an_older_version, "is damaged: it has no table images, routing, runs, scores"),
        (_no_record, "is damaged: "),
        (_no_text, "is damaged: Could not decode to UTF-8 column 'lr'"),
        (_in_place(os.mkfifo), "it is a pipe, not a file"),
        (_in_place(Path.mkdir), "it is a folder, not a file"),
        (_in_place(lambda file: file.symlink_to("/dev/zero")), "it is a device, not a file"),
    ],
)
def test_what_is_no_store_is_named(break_it: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    folder = stores.write_store(tmp_path / "runs", images=3)
    break_it(folder / FILE)
    with pytest.raises(UserError) as caught, Store(folder, create=False) as store:
        load_frames(store, store.run_ids())
    assert words in caught.value.message and caught.value.fix


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE runs SET run = '../../evil'", "a run called '../../evil', which is not a folder's name"),
        ("UPDATE runs SET run = '..'", "a run called '..', which is not a folder's name"),
        ("UPDATE runs SET manifest = replace(manifest, '\"one\"', '\"../evil\"')", "has the manifest of '../evil'"),
        ("UPDATE images SET output = '../../evil.png'", "is said to lie at ../../evil.png"),
        ("UPDATE images SET output = '/evil.png'", "is said to lie at /evil.png"),
    ],
)
def test_a_store_of_somebody_elses_does_not_say_where_we_write(statement: str, words: str, tmp_path: Path) -> None:
    folder = stores.write_store(tmp_path / "a" / "theirs", images=2)
    (tmp_path / "evil.png").write_text("theirs")
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute(f"{statement} WHERE run = 'one'")
        db.commit()
    with pytest.raises(UserError, match=re.escape(words)):
        merge([folder], tmp_path / "a" / "b" / "ours")
    with pytest.raises(UserError, match=re.escape(words)), Store(folder, create=False) as store:
        load_frames(store, store.run_ids())
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*evil*")] == ["evil.png"]
    kept = salvage(folder).rows
    assert all(row["run"] in {"one", "two"} for row in kept["runs"]) and "evil" not in json.dumps(kept)


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("create", [True, False])
def test_sqlites_own_files_are_files(ending: str, create: bool, tmp_path: Path) -> None:
    folder = stores.write_store(tmp_path / "runs", images=1)
    (folder / f"{FILE}{ending}").unlink(missing_ok=True)
    os.mkfifo(folder / f"{FILE}{ending}")
    with pytest.raises(UserError, match=f"{ending} cannot be read: it is a pipe, not a file"):
        Store(folder, create=create)


def test_a_disk_that_fails_is_named(tmp_path: Path) -> None:
    damage = sqlite3.OperationalError("disk I/O error")
    assert "is damaged: disk I/O error" in why_unusable(tmp_path, damage).message
    for code in (errno.EIO, errno.ESTALE, errno.EACCES):
        refused = why_unusable(tmp_path, OSError(code, os.strerror(code)))
        assert refused.message == f"the runs folder {tmp_path} cannot be used: {os.strerror(code)}"


def test_a_sound_store_is_saved_as_it_is(whole, tmp_path: Path) -> None:
    data, rows = whole
    (tmp_path / FILE).write_bytes(data)
    found = salvage(tmp_path)
    write_store(found, tmp_path / "new.sqlite")
    assert stores.rows_of(tmp_path / "new.sqlite") == rows and not found.lost_runs and not found.damaged_pages
    assert (tmp_path / FILE).read_bytes() == data


def test_rows_that_are_still_in_the_write_ahead_log_are_saved(tmp_path: Path) -> None:
    stores.write_store(tmp_path / "runs", images=3)
    with Store(tmp_path / "runs") as store:
        store.add_image(ImageRow(run="one", image="late", status="ok", lr="/lr"), None)
        assert (tmp_path / "runs" / f"{FILE}-wal").stat().st_size
        rows = stores.rows_of(tmp_path / "runs" / FILE)
        shutil.copytree(tmp_path / "runs", tmp_path / "killed")
    found = salvage(tmp_path / "killed")
    assert found.rows == rows and any(row["image"] == "late" for row in found.rows["images"])


def test_rows_of_a_store_that_was_brought_up_to_date_are_saved(whole, tmp_path: Path) -> None:
    """Its column hr_hash is the last one; rows of version 4 lack it."""
    data, rows = whole
    (tmp_path / FILE).write_bytes(data)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("ALTER TABLE images DROP COLUMN tiles")
        assert salvage(tmp_path).rows["images"] == rows["images"], "version 5"
        db.execute("ALTER TABLE images DROP COLUMN hr_hash")
        db.commit()
        older = salvage(tmp_path).rows["images"]
        db.execute("ALTER TABLE images ADD COLUMN hr_hash TEXT")
        db.execute("UPDATE images SET hr_hash = ? WHERE run = 'one'", ("a" * 64,))
        db.commit()
    assert older == [row | {"hr_hash": None} for row in rows["images"]]
    newer = salvage(tmp_path).rows["images"]
    assert newer == [row | {"hr_hash": row["hr_hash"] if row["run"] == "one" else None} for row in rows["images"]]


def test_a_run_whose_row_is_lost_comes_back_from_its_manifest(whole, tmp_path: Path, capsys) -> None:
    data, rows = whole
    folder = stores.write_store(tmp_path / "runs", images=1)
    (folder / "two" / "manifest.json").write_text("{")
    with closing(sqlite3.connect(folder / FILE)) as db:
        root = dict(db.execute("SELECT name, rootpage FROM sqlite_master").fetchall())["runs"]
    (folder / FILE).write_bytes(data[: (root - 1) * _PAGE] + b"\0" * _PAGE + data[root * _PAGE :])
    code, out, err = isrbench(capsys, "runs", "salvage", folder, "--out", tmp_path / "new.sqlite")
    assert code == 0 and "one  60 of 1  66 of 2" in out, out
    lost = len([row for table in ("images", "scores", "routing") for row in rows[table] if row["run"] == "two"])
    assert f"{lost} rows of two are left out" in " ".join(err.split())
    assert f"mv {folder / FILE}* {folder / 'damaged'}" in err
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "new.sqlite", tmp_path / "again" / FILE)
    with Store(tmp_path / "again") as store:
        assert store.run_ids() == ["one"] and len(store.images("one")) == 60 and len(store.scores("one")) == 66


def test_salvage_as_the_user_calls_it(whole, tmp_path: Path, capsys) -> None:
    data, rows = whole
    (tmp_path / FILE).write_bytes(data[:100] + b"\0" * (_PAGE - 100) + data[_PAGE:])
    code, _, err = isrbench(capsys, "list", "runs", "--runs-dir", tmp_path)
    assert code == 2 and err == (
        f"error the store of {tmp_path} is damaged: database disk image is malformed\n"
        f"fix   save the rows that can still be read: isrbench runs salvage {tmp_path} --out salvaged.sqlite; or go on "
        "with another --runs-dir DIR\n"
    )
    total = sum(map(len, rows.values()))
    code, out, _ = isrbench(capsys, "runs", "salvage", tmp_path, "--out", tmp_path / "rows.jsonl")
    assert code == 0 and out.endswith(f"{total} rows in {tmp_path / 'rows.jsonl'}\n")
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == total
    for name, words in (("rows.jsonl", "is there already"), ("rows.txt", "the ending must be one of")):
        code, _, err = isrbench(capsys, "runs", "salvage", tmp_path, "--out", tmp_path / name)
        assert code == 2 and words in err and "--to" not in err
    code, _, err = isrbench(capsys, "runs", "salvage", tmp_path / "gone", "--out", tmp_path / "x.sqlite")
    assert code == 2 and "does not exist" in err
