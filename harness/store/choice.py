"""Which stored runs a reader means, in one runs folder or in several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames, load_frames
from isrbench.harness.store.schema import home_of
from isrbench.harness.store.state import RunState, newest
from isrbench.harness.store.store import Store


def load(folders: Sequence[Path], names: Sequence[str] = ()) -> list[Frames]:
    """Read runs, each from the runs folder that it lies in, and those that repeat them under other seeds.

    Args:
        folders: Runs folders.
        names: Run ids, run folders (of any runs folder) or ``latest``; none = the newest run of every method and set,
            over all folders.

    Returns:
        The rows of each folder that has any of them, one without rows where no folder has a run. A run that lies in
        two folders is in both.

    Raises:
        UserError: If there is no such run, or no runs folder.
    """
    with _opened(folders, names) as stores:
        chosen: dict[Path, dict[str, None]] = {home: {} for home in stores}
        if not names:
            runs = newest([state for store in stores.values() for state in store.states()])
            _choose(chosen, stores, runs)
        for name in names:
            own = home_of(name)
            homes = {own: stores[own]} if own in stores else {place: stores[place] for place in _resolved(folders)}
            _choose(chosen, homes, [_find(homes, name)])
        every = [run for runs in chosen.values() for run in runs]
        for home, store in stores.items():
            chosen[home].update(dict.fromkeys(store.repeats(every)))
        found = {home: list(runs) for home, runs in chosen.items() if runs} or {next(iter(stores)): []}
        return [load_frames(stores[home], runs) for home, runs in found.items()]


def find_runs(folders: Sequence[Path], name: str) -> list[str]:
    """Return the runs that ``name`` means: one run (an id, a run folder or ``latest``), or the newest ones of a method.

    Args:
        folders: Runs folders.
        name: A method is called as tables call it, or by its id.

    Raises:
        UserError: If it means nothing, or there is no runs folder.
    """
    with _opened(folders, [name]) as stores:
        try:
            return [_find(stores, name)]
        except UserError as error:
            states = {state.run: state for store in stores.values() for state in store.states()}
            manifests = {run: store.manifest(run) for store in stores.values() for run in store.run_ids()}
            called = {run: (manifests[run].name, manifests[run].title) for run in newest(states.values())}
            found = [run for run, names in called.items() if name in names]
            if not found:
                found = [run for run, names in called.items() if name.lower() in (own.lower() for own in names)]
            if not found:
                known = ", ".join(sorted({manifest.name for manifest in manifests.values()}))
                raise UserError(f"{error.message}. Methods: {known or 'none'}", error.fix) from error
            return found


def _resolved(folders: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(folder.resolve() for folder in folders))


@contextmanager
def _opened(folders: Sequence[Path], names: Sequence[str]) -> Iterator[dict[Path, Store]]:
    """Open the runs folders that are needed: of run folders their own, of other names all."""
    homes = [home_of(name) for name in names]
    needed = [*(folders if not names or None in homes else ()), *(home for home in homes if home is not None)]
    with ExitStack() as stack:
        yield {place: stack.enter_context(Store(place, create=False)) for place in _resolved(needed)}


def _choose(chosen: dict[Path, dict[str, None]], stores: dict[Path, Store], runs: Sequence[str]) -> None:
    for home, store in stores.items():
        known = set(store.run_ids())
        chosen[home].update(dict.fromkeys(run for run in runs if run in known))


def _find(stores: dict[Path, Store], name: str) -> str:
    """Return the run that ``name`` means in any of the folders; ``latest`` is the latest of all."""
    if name == "latest":
        states: list[RunState] = [store.states()[-1] for store in stores.values() if store.run_ids()]
        if states:
            return max(states, key=lambda state: state.invoked).run
    refusals = []
    for store in stores.values():
        try:
            return store.find_run(name)
        except UserError as error:
            refusals.append(error)
    if len(refusals) == 1:
        raise refusals[0]
    places = ", ".join(str(store.folder) for store in stores.values())
    raise UserError(f"unknown run '{name}' in {places}", "isrbench runs list, with the same --runs-dir")
