"""How far a run got, read off its rows; which run a reader means by "the newest"."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunState:
    """One stored run."""

    run: str
    method: str
    dataset: str
    created: str
    """ISO 8601, UTC; so is ``invoked``."""
    invoked: str
    """When it was last asked for, whether or not anything was left to compute."""
    images: int
    """Images of the set (or its first ones, under ``--limit``)."""
    done: int
    """Images that were restored and scored, or failed."""
    failed: int
    """Images that failed, or have a failed score."""
    limited: bool
    """Whether ``--limit`` cut the set."""
    complete: bool
    """Whether every image and every set metric has its rows."""

    @property
    def state(self) -> str:
        """In words: ``complete``, ``partial 3 of 24``, with the failures and the limit."""
        words = ["complete" if self.complete else f"partial {self.done} of {self.images}"]
        words += [f"{self.failed} failed"] if self.failed else []
        words += [f"--limit {self.images}"] if self.limited else []
        return ", ".join(words)


def state_of(run: Mapping[str, Any], images: tuple[int, int], scores: Mapping[str, int], failed: int) -> RunState:
    """Judge one run.

    Args:
        run: Its row.
        images: (rows, failed rows) among its images.
        scores: Rows of each metric.
        failed: Images with a failed row or a failed score.
    """
    manifest = json.loads(run["manifest"])
    wanted, (restored, lost) = manifest["dataset"]["images"], images
    kinds = {id: metric["reference"] for id, metric in manifest["metrics"].items()}
    scored = [scores.get(id, 0) for id, kind in kinds.items() if kind != "set"]
    sets = all(scores.get(id) for id, kind in kinds.items() if kind == "set")
    done = min([restored - lost, *scored]) + lost
    return RunState(
        run=run["run"], method=run["method"], dataset=run["dataset"], created=run["created"], invoked=run["invoked"],
        images=wanted, done=done, failed=failed, limited=manifest["dataset"]["limit"] is not None,
        complete=done == wanted and sets,
    )  # fmt: skip


def newest(states: Iterable[RunState]) -> list[str]:
    """One run of every (method, dataset), in their order.

    Whole sets come before limited ones, complete runs before partial ones, then the one that was asked for last.
    """
    best: dict[tuple[str, str], RunState] = {}
    for state in states:
        key = (state.method, state.dataset)
        if key not in best or _rank(state) >= _rank(best[key]):
            best[key] = state
    return [best[key].run for key in sorted(best)]


def _rank(state: RunState) -> tuple[bool, bool, str]:
    return (not state.limited, state.complete, state.invoked)
