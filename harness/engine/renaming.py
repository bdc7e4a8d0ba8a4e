"""What tables call a stored run, and the id that follows from it: as if ``eval`` had been given ``--name``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from isrbench.harness.api.records import Manifest
from isrbench.harness.api.registry import methods
from isrbench.harness.engine.lock import NAME, only_one
from isrbench.harness.engine.manifests import free_id, write_manifest
from isrbench.harness.engine.plan import check_name
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_there
from isrbench.harness.store.changes import move_run
from isrbench.harness.store.connection import why_unusable
from isrbench.harness.store.store import Store


def rename(folder: Path, run: str, name: str) -> dict[str, str]:
    """Call a run's method ``name``; runs that repeat it under other seeds go with it. Rows and images stay the same.

    Args:
        folder: The runs folder.
        run: An id, a run folder or ``latest``.
        name: Letters, digits and ``. _ + -``.

    Returns:
        The ids from now on, by those until now.

    Raises:
        UserError: If there is no such run, the name is another method's or another run's of the set, the run is called
            so or is itself a repeat, another process works on it, or the folder cannot be written.
    """
    with Store(folder) as store, ExitStack() as held:
        id = store.find_run(run)
        group = [id, *store.repeats([id])]
        for own in group:
            held.enter_context(only_one(store.folder / own))
        manifests = {own: store.manifest(own) for own in group}
        _check(store, manifests, id, name)
        ids: dict[str, str] = {}
        for own, manifest in manifests.items():
            known = {*store.run_ids(), *ids.values()}
            ids[own] = free_id(name, manifest.dataset.id, manifest.identity, known)
        taken = [store.folder / new for new in ids.values() if is_there(store.folder / new)]
        if taken:
            raise UserError(f"{taken[0]} is there already, though no run is called so", "move it away, or another NAME")
        try:
            with _moved(store.folder, ids, manifests), store.transaction() as db:
                for own, manifest in manifests.items():
                    after = _renamed(manifest, ids, name)
                    move_run(db, own, after)
                    write_manifest(store.folder / after.run, after)
        except OSError as error:
            raise why_unusable(folder, error) from error
        return ids


def _check(store: Store, manifests: dict[str, Manifest], id: str, name: str) -> None:
    manifest = manifests[id]
    if name == manifest.name:
        raise UserError(f"{id} is called {name} already", "choose another NAME")
    check_name(name, manifest.method, methods(), option="")
    states = store.states()
    if manifest.repeat_of in {state.run for state in states}:
        raise UserError(
            f"{id} repeats {manifest.repeat_of}, and is called as that is",
            f"isrbench runs rename {manifest.repeat_of} {name}",
        )
    sets = {own.dataset.id for own in manifests.values()}
    other = next((state for state in states if state.method == name and state.dataset in sets), None)
    if other is not None:
        raise UserError(
            f"{other.run} is called {name} already: of two runs of one name and set, tables show the newer one alone",
            "choose another NAME, or rename that one first",
        )


def _renamed(manifest: Manifest, ids: dict[str, str], name: str) -> Manifest:
    title = f"{name} ({manifest.variant})" if manifest.variant else name
    repeat_of = ids.get(manifest.repeat_of, manifest.repeat_of)
    return manifest.model_copy(update={"run": ids[manifest.run], "name": name, "title": title, "repeat_of": repeat_of})


@contextmanager
def _moved(folder: Path, ids: dict[str, str], manifests: dict[str, Manifest]) -> Iterator[None]:
    """Move the runs' folders, and back if the block fails; a folder that is gone is made anew."""
    done: list[tuple[Path, Path]] = []
    try:
        for old, new in ids.items():
            (folder / old).rename(folder / new)
            done.append((folder / old, folder / new))
        yield
    except BaseException:
        for old, new in reversed(done):
            new.rename(old)
            write_manifest(old, manifests[old.name])
        raise
    for _, new in done:
        with suppress(OSError):
            (new / NAME).unlink()  # the lock went with the folder
