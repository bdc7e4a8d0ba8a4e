"""``isrbench runs``: what a person is told and asked."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.cli import isrbench
from tests.support.stores import stored_runs


def test_runs_of_several_folders_are_listed_apart(tmp_path, capsys):
    one, two = stored_runs(tmp_path / "one", "a"), stored_runs(tmp_path / "two", "b", "c")
    code, out, _ = isrbench(capsys, "runs", "list", "--runs-dir", one, "--runs-dir", two)
    assert code == 0 and out.index(f"runs in {one}") < out.index("a ") < out.index(f"runs in {two}") < out.index("c ")
    code, out, _ = isrbench(capsys, "runs", "list", "--runs-dir", one, "--runs-dir", two, "--json")
    rows = json.loads(out)
    assert [(row["runs folder"], row["run"]) for row in rows] == [(str(one), "a"), (str(two), "b"), (str(two), "c")]
    assert {row["state"] for row in rows} == {"partial 0 of 2"} and all(row["size"] != "0 bytes" for row in rows)
    _, of_list, _ = isrbench(capsys, "list", "runs", "--runs-dir", two)
    assert of_list == isrbench(capsys, "runs", "list", "--runs-dir", two)[1]


def test_removing_says_what_goes_and_asks(tmp_path, capsys, monkeypatch):
    folder = stored_runs(tmp_path / "runs", "one", "two")
    (folder / "one/notes.txt").write_text("mine")
    args = ("runs", "remove", "one", "--runs-dir", folder)
    code, out, err = isrbench(capsys, *args)
    assert code == 2 and "rows of 2 images and 2 scores; 3 files" in out and "no terminal to ask at" in err
    assert f"stays: {folder.resolve() / 'one/notes.txt'}" in out
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: False)
    code, out, _ = isrbench(capsys, *args)
    assert code == 0 and "nothing was removed" in out and (folder / "one/images/a.png").exists()
    (folder / "report").mkdir()
    (folder / "report/index.html").touch()
    code, out, err = isrbench(capsys, *args, "--yes")
    assert code == 0 and "one removed" in out and "the report there is older: isrbench report --runs-dir" in err
    assert not (folder / "one/images").exists() and (folder / "one/notes.txt").exists()
    code, _, err = isrbench(capsys, "runs", "remove", "one", "--yes", "--runs-dir", tmp_path / "nowhere")
    assert code == 2 and "there are no runs in" in err and not (tmp_path / "nowhere").exists()


def test_renaming_says_the_new_id_and_refuses_a_clash(tmp_path, capsys):
    folder = stored_runs(tmp_path / "runs", "one", "two", named=True)
    code, out, _ = isrbench(capsys, "runs", "rename", folder / "one", "ours")
    assert code == 0 and out == "one is ours-set-oneoneon now\n"
    code, _, err = isrbench(capsys, "runs", "rename", "two", "ours", "--runs-dir", folder)
    assert code == 2 and err.startswith("error ours-set-oneoneon is called ours already") and len(err.splitlines()) == 2


@pytest.mark.parametrize("words", [["runs"], ["runs", "remove"]])
def test_what_is_missing_is_said(capsys, words):
    code, out, err = isrbench(capsys, *words)
    assert code == 2 and "remove" in out + err
