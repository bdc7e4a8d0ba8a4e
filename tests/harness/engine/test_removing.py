"""Runs taken out of a runs folder: what goes, and what stays whatever happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.engine.lock import only_one
from isrbench.harness.engine.removing import Removal, removals, remove
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.store.store import Store
from tests.support.stores import rows_of, stored_runs


def taken(folder: Path, *runs: str) -> list[Removal]:
    with Store(folder) as store, removals(store, runs) as found:
        for removal in found:
            remove(store, removal)
        return found


def test_rows_and_files_go_and_other_runs_stay_as_they_are(tmp_path):
    folder = stored_runs(tmp_path / "runs", "one", "two")
    before = rows_of(folder / "isrbench.sqlite")
    kept = {path: file_hash(path) for path in (folder / "two").rglob("*") if path.is_file()}
    (removal,) = taken(folder, "one")
    assert (removal.images, removal.scores, len(removal.files), removal.kept) == (2, 2, 3, ())
    assert not (folder / "one").exists()
    after = rows_of(folder / "isrbench.sqlite")
    for table, rows in before.items():
        assert after[table] == [row for row in rows if row.get("run") != "one"]
    assert {path: file_hash(path) for path in kept} == kept


def test_nothing_goes_that_isrbench_did_not_write_or_that_was_changed(tmp_path):
    folder = stored_runs(tmp_path / "runs", "one")
    elsewhere = tmp_path / "elsewhere.png"
    elsewhere.write_bytes((folder / "one/images/b.png").read_bytes())
    (folder / "one/images/a.png").write_bytes(b"edited")
    (folder / "one/images/b.png").unlink()
    (folder / "one/images/b.png").symlink_to(elsewhere)
    (folder / "one/notes.txt").write_text("mine")
    (folder / "one/manifest.json").write_text('{"run": "another"}')
    (removal,) = taken(folder, "one")
    names = [path.relative_to(folder / "one").as_posix() for path in removal.kept]
    assert names == ["images/a.png", "images/b.png", "manifest.json", "notes.txt"] and not removal.files
    assert all(path.exists() for path in removal.kept) and elsewhere.exists()
    assert rows_of(folder / "isrbench.sqlite")["runs"] == []
    assert not (folder / "one/.lock").exists()


def test_a_run_whose_folder_is_a_link_or_gone(tmp_path):
    folder = stored_runs(tmp_path / "runs", "one", "two")
    (folder / "one").rename(tmp_path / "moved")
    (folder / "one").symlink_to(tmp_path / "moved")
    for path in sorted((folder / "two").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    one, two = taken(folder, "one", "two")
    assert not one.files and (tmp_path / "moved/images/a.png").exists()
    assert not two.files and not (folder / "two").exists()


def test_a_repeat_may_not_be_left_without_its_run(tmp_path):
    folder = stored_runs(tmp_path / "runs", "one", "two", repeats={"two": "one"})
    with pytest.raises(UserError, match=r"(?s)one: two repeats it .*remove one two"):
        taken(folder, "one")
    assert len(taken(folder, "one", "two")) == 2


def test_a_run_that_another_process_works_on_stays(tmp_path):
    folder = stored_runs(tmp_path / "runs", "one", "two")
    with only_one(folder / "two"), pytest.raises(UserError, match="another process is working"):
        taken(folder, "one", "two")
    assert len(rows_of(folder / "isrbench.sqlite")["runs"]) == 2 and (folder / "one/images/a.png").exists()
