"""Which stored runs are meant, over several runs folders."""

from __future__ import annotations

import shutil

import pytest

from isrbench.harness.errors import UserError
from isrbench.harness.store.choice import find_runs, load
from tests.support.stores import stored_runs


def runs_of(frames) -> list[list[str]]:
    return [sorted(part.runs["run"]) for part in frames]


@pytest.fixture
def two(tmp_path):
    return [stored_runs(tmp_path / "a", "one", "two"), stored_runs(tmp_path / "b", "three")]


def test_without_names_the_newest_of_every_method_over_all_folders(two, tmp_path):
    assert runs_of(load(two)) == [["one", "two"], ["three"]]
    named = [stored_runs(tmp_path / place, run, named=True) for place, run in (("c", "x"), ("d", "x"))]
    assert runs_of(load(named)) == [["x"], ["x"]], "a copy of a run is one run, in both"
    assert runs_of(load([two[0], two[0]])) == [["one", "two"]], "a folder that is named twice counts once"


def test_the_newest_run_may_lie_in_either_folder(tmp_path):
    old = stored_runs(tmp_path / "old", "one", repeats={"one": "m"})
    new = stored_runs(tmp_path / "new", "two", repeats={"two": "m"})
    assert runs_of(load([old, new])) == [["two"]], "both are called m, and one was asked for later"


def test_names_are_looked_up_where_they_lie(two):
    assert runs_of(load(two, ["three", "one"])) == [["one"], ["three"]]
    assert runs_of(load(two, ["latest"])) == [["three"]]
    assert runs_of(load(two[:1], [str(two[1] / "three")])) == [["three"]], "a run folder of any runs folder"
    shutil.rmtree(two[0])
    assert runs_of(load([two[0]], [str(two[1] / "three")])) == [["three"]], "no other folder is opened for it"
    with pytest.raises(UserError, match="there are no runs in"):
        load(two)


def test_an_unknown_name_is_refused_with_the_folders(two):
    with pytest.raises(UserError, match=r"unknown run 'four' in .*a, .*b"):
        load(two, ["four"])
    with pytest.raises(UserError, match=r"unknown run 'four' in .*a\. Runs: one, two"):
        load(two[:1], ["four"])


def test_a_runs_folder_in_the_place_of_a_run_is_told_what_it_is(two):
    with pytest.raises(UserError, match=r"b is a runs folder, not a run") as caught:
        load(two[:1], [str(two[1])])
    assert caught.value.fix == f"for all of its runs: --runs-dir {two[1]}"


def test_a_name_may_be_that_of_a_method(tmp_path):
    folder = stored_runs(tmp_path / "runs", "one", "two", "three", repeats={"three": "one"}, named=True)
    assert find_runs([folder], "two") == ["two"] and find_runs([folder], "m-two") == ["two"]
    assert find_runs([folder], "m-one") == ["one"], "the repeat under another seed stands for nothing"
    with pytest.raises(UserError, match=r"unknown run 'ours' .*Methods: m-one, m-two"):
        find_runs([folder], "ours")
