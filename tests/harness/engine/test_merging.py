"""Runs folders of machines that worked apart, in one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from isrbench.harness.engine.evaluate import RunResult, evaluate
from isrbench.harness.engine.merging import Merged, merge
from isrbench.harness.errors import UserError
from isrbench.harness.store.store import Store
from tests.support.cli import isrbench
from tests.support.images import write_pairs


@pytest.fixture
def pairs(tmp_path) -> Path:
    return write_pairs(tmp_path / "set", ["a", "b", "c"])


def run(pairs: Path, runs: Path, method: str = "bicubic", metrics: tuple[str, ...] = ("psnr",), **more) -> RunResult:
    return evaluate(method, pairs, metrics=metrics, estimator="none", complexity=False, runs_dir=runs, **more)


def altered(runs: Path, statement: str) -> None:
    with sqlite3.connect(runs / "isrbench.sqlite") as db:
        db.execute(statement)


def rows(runs: Path) -> dict[str, list]:
    with Store(runs, create=False) as store:
        return {table: store.rows(table, store.run_ids()) for table in ("images", "scores", "routing")}


def test_runs_of_two_machines_are_all_there_and_a_second_time_changes_nothing(tmp_path, pairs):
    one, two = run(pairs, tmp_path / "one"), run(pairs, tmp_path / "two", "lanczos")
    assert merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all") == Merged(runs=2, images=6, scores=0)
    before = rows(tmp_path / "all")
    for key, value in before.items():
        assert value == sorted(rows(tmp_path / "one")[key] + rows(tmp_path / "two")[key], key=lambda row: row["run"])
    for made in (one, two):
        copy = tmp_path / "all" / made.run
        assert (copy / "images" / "a.png").read_bytes() == (made.folder / "images" / "a.png").read_bytes()
        assert (copy / "manifest.json").read_bytes() == (made.folder / "manifest.json").read_bytes()
    assert merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all") == Merged(0, 0, 0)
    assert rows(tmp_path / "all") == before
    assert not run(pairs, tmp_path / "all").computed, "a merged run goes on like any other"


def test_a_run_that_is_there_gains_what_it_lacks(tmp_path, pairs):
    run(pairs, tmp_path / "one", metrics=("psnr", "gmsd"))
    made = run(pairs, tmp_path / "two")
    altered(tmp_path / "two", "DELETE FROM scores WHERE image = 'c'")
    altered(tmp_path / "two", "DELETE FROM images WHERE image = 'c'")
    (made.folder / "images" / "c.png").unlink()
    done = merge([tmp_path / "one"], tmp_path / "two")
    assert (done.runs, done.images, done.scores) == (0, 1, 2), "gmsd of a and b; all of c"
    assert rows(tmp_path / "two")["scores"] == rows(tmp_path / "one")["scores"]
    assert not run(pairs, tmp_path / "two", metrics=("psnr", "gmsd")).computed


def test_conflicts_are_named_and_nothing_is_written(tmp_path, pairs):
    name = run(pairs, tmp_path / "one").run
    run(pairs, tmp_path / "two")
    altered(tmp_path / "two", "UPDATE scores SET value = 1 WHERE image = 'b'")
    altered(tmp_path / "two", "UPDATE images SET output_hash = 'x' WHERE image = 'a'")
    before = rows(tmp_path / "two")
    with pytest.raises(UserError, match=f"{name}: a has other pixels; {name}: psnr of b is .*, 1.0 there"):
        merge([tmp_path / "one"], tmp_path / "two")
    assert rows(tmp_path / "two") == before
    altered(tmp_path / "two", 'UPDATE runs SET manifest = replace(manifest, \'"identity":"\', \'"identity":"f\')')
    with pytest.raises(UserError, match=f"{name} is another run there"):
        merge([tmp_path / "one"], tmp_path / "two")


def test_an_image_whose_file_is_gone_is_left_out_with_a_note(tmp_path, pairs):
    made = run(pairs, tmp_path / "one")
    (made.folder / "images" / "b.png").write_bytes(b"other")
    done = merge([tmp_path / "one"], tmp_path / "all")
    assert done.images == 2 and "b is left out, its PNG in" in done.notes[0]
    assert [row["image"] for row in rows(tmp_path / "all")["scores"]] == ["a", "c"]


def test_what_the_terminal_says(tmp_path, pairs, capsys):
    run(pairs, tmp_path / "one")
    code, said, _ = isrbench(capsys, "runs", "merge", tmp_path / "one", "--into", tmp_path / "all")
    assert code == 0 and "1 new runs, 3 images, 0 scores of images that were there" in said
    code, _, said = isrbench(capsys, "runs", "merge", tmp_path / "all", "--into", tmp_path / "all")
    assert code == 2 and "is named twice" in said
    assert isrbench(capsys, "merge", tmp_path / "one", "--into", tmp_path / "all")[0] == 0, "its name until now"
    code, _, said = isrbench(capsys, "runs", "merge", tmp_path / "nothing", "--into", tmp_path / "all")
    assert code == 2 and "there are no runs in" in said
