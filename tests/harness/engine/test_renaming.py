"""A stored run under another name: the same rows and images, found by ``eval --name``."""

from __future__ import annotations

import json

import pytest

from isrbench.harness.engine import renaming
from isrbench.harness.engine.evaluate import evaluate
from isrbench.harness.engine.renaming import rename
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.store.store import Store
from tests.support.images import write_pairs
from tests.support.stores import rows_of, stored_runs


def test_a_renamed_run_is_what_eval_would_have_made_under_that_name(tmp_path):
    pairs, plain = write_pairs(tmp_path / "set", ["a", "b"]), {"metrics": ("psnr",), "estimator": "none"}
    made = evaluate("bicubic", pairs, runs_dir=tmp_path / "runs", complexity=False, **plain)
    (tmp_path / "runs" / made.run / "notes.txt").write_text("mine")
    assert rename(tmp_path / "runs", "latest", "ours") == {made.run: made.run.replace("bicubic", "ours", 1)}
    named = evaluate("bicubic", pairs, runs_dir=tmp_path / "runs", complexity=False, name="ours", **plain)
    assert named.run.startswith("ours-set-") and not named.computed, "it goes on with the renamed run"
    assert (named.folder / "notes.txt").read_text() == "mine" and not made.folder.exists()
    assert json.loads((named.folder / "manifest.json").read_text())["title"] == named.manifest.title == "ours"
    again = evaluate("bicubic", pairs, runs_dir=tmp_path / "runs", complexity=False, **plain)
    assert again.run == made.run and again.computed, "under its old name it is a run of its own again"


def test_rows_stay_and_repeats_go_along(tmp_path):
    folder = stored_runs(tmp_path / "runs", "one", "two", "three", repeats={"two": "one"})
    before = rows_of(folder / "isrbench.sqlite")
    ids = rename(folder, "one", "ours")
    after = rows_of(folder / "isrbench.sqlite")
    assert sorted(ids) == ["one", "two"] and len(set(ids.values())) == 2
    for table in ("images", "scores", "routing"):
        for row in before[table]:
            new = ids.get(row["run"], row["run"])
            moved = {**row, "run": new}
            if row.get("output"):
                moved["output"] = row["output"].replace(row["run"], new, 1)
                assert file_hash(folder / moved["output"]) == row["output_hash"]
            assert moved in after[table]
        assert len(before[table]) == len(after[table])
    with Store(folder, create=False) as store:
        assert store.manifest(ids["two"]).repeat_of == ids["one"]
        assert [store.manifest(ids[run]).title for run in ("one", "two")] == ["ours (tiny)", "ours (tiny)"]
        assert store.newest_runs() == sorted([ids["one"], "three"])
    assert not (folder / ids["one"] / ".lock").exists()


@pytest.mark.parametrize(
    ("run", "name", "said"),
    [
        ("one", "m-two", "two is called m-two already"),
        ("one", "m-one", "one is called m-one already"),
        ("one", "Lanczos", "is the id of another method"),
        ("one", "../x", "holds more than letters"),
        ("three", "ours", "three repeats one, and is called as that is"),
        ("four", "ours", "unknown run 'four'"),
        ("one", "taken", "is there already, though no run is called so"),
    ],
)
def test_clashes_are_refused_and_nothing_changes(tmp_path, run, name, said):
    folder = stored_runs(tmp_path / "runs", "one", "two", "three", repeats={"three": "one"}, named=True)
    (folder / f"taken-set-{'one' * 8}"[: len("taken-set-") + 8]).mkdir()
    before = rows_of(folder / "isrbench.sqlite")
    with pytest.raises(UserError, match=said):
        rename(folder, run, name)
    assert rows_of(folder / "isrbench.sqlite") == before
    assert (folder / "one/images/a.png").is_file() and not (folder / "one/.lock").exists()


def test_a_folder_goes_back_if_the_rows_cannot_be_written(tmp_path, monkeypatch):
    folder = stored_runs(tmp_path / "runs", "one")
    before = rows_of(folder / "isrbench.sqlite")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(renaming, "write_manifest", full)
    with pytest.raises(UserError, match=r"cannot write to .*No space left"):
        rename(folder, "one", "ours")
    assert rows_of(folder / "isrbench.sqlite") == before and (folder / "one/images/a.png").is_file()
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["one"]
