"""Which runs stand for their method and set."""

from __future__ import annotations

from pathlib import Path

from isrbench.harness.engine.evaluate import evaluate, load_runs
from isrbench.harness.store.state import RunState, differing_options, newest, told_apart
from isrbench.harness.store.store import Store
from isrbench.reports.comparison import compare


def state(
    run: str, content: str, *, images: int = 4, invoked: str = "1", complete: bool = True, **options: object
) -> RunState:
    return RunState(
        run=run, method="m", dataset="pairs", created="0", invoked=invoked, images=images, whole=4,
        content_hash=content, options=options, done=images, failed=0, complete=complete,
    )  # fmt: skip


def test_two_sets_of_one_name_are_both_shown() -> None:
    states = [state("a", "x"), state("b", "y", invoked="2"), state("c", "x", invoked="3")]
    assert newest(states) == ["c", "b"]


def test_a_part_stands_only_where_no_whole_set_does() -> None:
    part, later = state("p", "z", images=1, invoked="8"), state("q", "w", images=2, invoked="9")
    assert newest([part, later]) == ["q"] and newest([state("a", "x"), part, later]) == ["a"]


def test_a_complete_run_stands_before_a_later_one_that_is_not() -> None:
    assert newest([state("a", "x"), state("b", "x", invoked="2", complete=False)]) == ["a"]


def test_runs_of_other_options_are_all_shown() -> None:
    states = [
        state("a", "x", images_dir="one", scale=4),
        state("b", "x", invoked="2", images_dir="two", scale=4),
        state("c", "x", invoked="3", images_dir="one", scale=4),
        state("p", "z", images=1, images_dir="two", scale=4),
    ]
    assert newest(states) == ["c", "b"]
    assert differing_options(states) == {run: f"images_dir={name}" for run, name in
                                         (("a", "one"), ("b", "two"), ("c", "one"), ("p", "two"))}  # fmt: skip


def test_an_option_of_a_later_release_tells_no_runs_apart() -> None:
    states = [state("a", "x", tile=0), state("b", "x", invoked="2", tile=0, dtype="fp32")]
    assert newest(states) == ["b"] and differing_options(states) == {"a": "", "b": ""}


def test_paths_are_shown_as_far_as_they_differ() -> None:
    options = {"a": {"images": "/home/me/results/one"}, "b": {"images": "/home/me/results/two/x4"}}
    assert told_apart(options) == {"a": "images=one", "b": "images=two/x4"}
    assert told_apart({"a": {"images": "one"}, "b": {"images": "/two"}}) == {"a": "images=one", "b": "images=/two"}


def test_runs_of_other_seeds_are_all_shown(tmp_path: Path, pairs_folder: Path) -> None:
    for seed in (0, 1):
        evaluate(
            "bicubic", pairs_folder, metrics=["psnr"], seed=seed, estimator="none", complexity=False, runs_dir=tmp_path
        )
    with Store(tmp_path, create=False) as store:
        assert len(store.newest_runs()) == 2 and set(differing_options(store.states()).values()) == {"seed=0", "seed=1"}
    assert compare(load_runs(tmp_path)).sets[0].aligned.labels == ("Bicubic (seed=0)", "Bicubic (seed=1)")
