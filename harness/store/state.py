"""How far a run got, read off its rows; which run a reader means by "the newest"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import commonpath, relpath
from pathlib import Path
from typing import Any

from isrbench.harness.api.records import Manifest


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
    """Images of the run."""
    whole: int | None
    """Images of the set; None where that is not known."""
    content_hash: str
    """Of the run's images."""
    options: Mapping[str, Any]
    """The method's options, those that were left at their defaults too."""
    done: int
    """Images that were restored and scored, or failed."""
    failed: int
    """Images that failed, or have a failed score."""
    complete: bool
    """Whether every image and every set metric has its rows."""
    repeat_of: str = ""
    """The run that it repeats under another seed, or empty."""

    @property
    def partial(self) -> bool:
        """Return whether the run is about a part of the set."""
        return self.whole is None or self.images < self.whole

    @property
    def state(self) -> str:
        """Return the state in words: ``complete``, ``partial 3 of 24``, with the failures and the part of the set."""
        words = ["complete" if self.complete else f"partial {self.done} of {self.images}"]
        words += [f"{self.failed} failed"] if self.failed else []
        if self.partial:
            words.append(f"the first {self.images} images" if self.whole is None else f"{self.images} of {self.whole}")
        return ", ".join([*words, *([f"repeats {self.repeat_of}"] if self.repeat_of else [])])


def state_of(
    manifest: Manifest, invoked: str, images: tuple[int, int], scores: Mapping[str, int], failed: int
) -> RunState:
    """Judge one run.

    Args:
        manifest: Its manifest.
        invoked: When it was last asked for.
        images: (rows, failed rows) among its images.
        scores: Rows of each metric.
        failed: Images with a failed row or a failed score.
    """
    wanted, (restored, lost) = manifest.dataset.images, images
    scored = [scores.get(id, 0) for id, metric in manifest.metrics.items() if metric.reference != "set"]
    sets = all(scores.get(id) for id, metric in manifest.metrics.items() if metric.reference == "set")
    done = min([restored - lost, *scored]) + lost
    return RunState(
        run=manifest.run, method=manifest.name, dataset=manifest.dataset.id, created=manifest.created, invoked=invoked,
        images=wanted, whole=manifest.dataset.whole, content_hash=manifest.dataset.content_hash,
        options=choices(manifest), done=done, failed=failed, complete=done == wanted and sets,
        repeat_of=manifest.repeat_of,
    )  # fmt: skip


def choices(manifest: Manifest) -> dict[str, Any]:
    """Return what tells runs of one method and set apart: its options, and the seed."""
    return {**manifest.options, "seed": manifest.seed}


def newest(states: Iterable[RunState]) -> list[str]:
    """Return one run of every method, with every choice of its options and seed, and set, in their order.

    Sets of one id are told apart by their images: two folders may have one name. Whole sets stand before parts of a set
    of their id, complete runs before partial ones, then the one that was asked for last. A run that repeats another one
    that is here stands for nothing: the method would count twice.
    """
    every = list(states)
    runs = {state.run for state in every}
    known = [state for state in every if state.repeat_of not in runs]
    chosen = differing_options(known)
    wholes = {(state.method, state.dataset, chosen[state.run]) for state in known if not state.partial}
    best: dict[tuple[str, str, str, str], RunState] = {}
    for state in known:
        own = chosen[state.run]
        if state.partial and (state.method, state.dataset, own) in wholes:
            continue
        key = (state.method, state.dataset, own, "" if state.partial else state.content_hash)
        if key not in best or _rank(state) >= _rank(best[key]):
            best[key] = state
    return [best[key].run for key in sorted(best)]


def differing_options(states: Iterable[RunState]) -> dict[str, str]:
    """Return by run what tells its options from those of the other runs of its method and set: ``images=ours``, or "".

    An option that some of these runs do not have, because they are of another release, tells nothing.
    """
    groups: dict[tuple[str, str], list[RunState]] = {}
    for state in states:
        groups.setdefault((state.method, state.dataset), []).append(state)
    found = {}
    for group in groups.values():
        found |= told_apart({state.run: state.options for state in group})
    return found


def told_apart(options: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return by run the options that all runs have and in which they differ, such as ``images=ours, scale=2``.

    Of paths only that part is shown in which they differ.
    """
    shared = [set(own) for own in options.values()]
    names = sorted(set.intersection(*shared)) if shared else []
    shown = {name: _short([str(own[name]) for own in options.values()]) for name in names}
    chosen = [name for name in names if len(set(shown[name])) > 1]
    return {run: ", ".join(f"{name}={shown[name][place]}" for name in chosen) for place, run in enumerate(options)}


def _short(values: Sequence[str]) -> list[str]:
    """Return values without the folder that holds them all, where all are absolute paths."""
    if len(set(values)) < 2 or not all(Path(value).is_absolute() for value in values):
        return list(values)
    folder = commonpath([str(Path(value).parent) for value in values])
    return [relpath(value, folder) for value in values]


def _rank(state: RunState) -> tuple[bool, str]:
    return (state.complete, state.invoked)
