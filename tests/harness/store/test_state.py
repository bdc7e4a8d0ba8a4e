"""Which runs stand for their method and set."""

from __future__ import annotations

from isrbench.harness.store.state import RunState, newest


def state(run: str, content: str, *, images: int = 4, invoked: str = "1", complete: bool = True) -> RunState:
    return RunState(
        run=run, method="m", dataset="pairs", created="0", invoked=invoked, images=images, whole=4,
        content_hash=content, done=images, failed=0, complete=complete,
    )  # fmt: skip


def test_two_sets_of_one_name_are_both_shown() -> None:
    states = [state("a", "x"), state("b", "y", invoked="2"), state("c", "x", invoked="3")]
    assert newest(states) == ["c", "b"]


def test_a_part_stands_only_where_no_whole_set_does() -> None:
    part, later = state("p", "z", images=1, invoked="8"), state("q", "w", images=2, invoked="9")
    assert newest([part, later]) == ["q"] and newest([state("a", "x"), part, later]) == ["a"]


def test_a_complete_run_stands_before_a_later_one_that_is_not() -> None:
    assert newest([state("a", "x"), state("b", "x", invoked="2", complete=False)]) == ["a"]
