"""Runs taken out of a runs folder: their rows, and of their files those that isrbench wrote and nobody changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from isrbench.harness.documents import read_json
from isrbench.harness.engine.lock import NAME, only_one
from isrbench.harness.engine.manifests import MANIFEST
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.store.changes import delete_run
from isrbench.harness.store.connection import why_unusable
from isrbench.harness.store.store import Store


@dataclass(frozen=True)
class Removal:
    """What goes with a run, and what stays."""

    run: str
    images: int
    """Rows of images."""
    scores: int
    """Rows of scores."""
    files: tuple[Path, ...]
    """PNGs whose bytes are those that were stored, and the manifest."""
    size: int
    """Of these files, bytes."""
    kept: tuple[Path, ...]
    """What else lies in the run's folder: isrbench did not write it, or it was changed since."""


@contextmanager
def removals(store: Store, runs: Sequence[str]) -> Iterator[list[Removal]]:
    """Hold runs and say what goes with each; :func:`remove` inside the block takes it away.

    Args:
        store: Open for writing.
        runs: Ids.

    Raises:
        UserError: If another process works on one of them, or a run that stays repeats one of them.
    """
    left = [run for run in store.repeats(runs) if run not in runs]
    if left:
        words = "repeats it" if len(runs) == 1 else "repeats one of them"
        raise UserError(
            f"{', '.join(runs)}: {', '.join(left)} {words} under another seed, and would stand in tables instead",
            f"isrbench runs remove {' '.join([*runs, *left])}",
        )
    with ExitStack() as held:
        for run in runs:
            held.enter_context(only_one(store.folder / run))
        yield [_removal(store, run) for run in runs]


def _removal(store: Store, run: str) -> Removal:
    folder = store.folder / run
    rows = store.rows("images", [run])
    hashes = {store.folder / row["output"]: row["output_hash"] for row in rows if row["output"]}
    found = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    ours = [path for path in found if path != folder / NAME and _is_ours(path, folder, hashes.get(path))]
    return Removal(
        run=run,
        images=len(rows),
        scores=len(store.rows("scores", [run])),
        files=tuple(ours),
        size=sum(path.stat().st_size for path in ours),
        kept=tuple(path for path in found if path not in ours and path != folder / NAME),
    )


def _is_ours(path: Path, folder: Path, stored: str | None) -> bool:
    """Whether a file is as isrbench wrote it, in its place and not behind a link."""
    if path.resolve() != path or not path.is_file():
        return False
    if path == folder / MANIFEST:
        try:
            return read_json(path, "")["run"] == folder.name
        except (UserError, KeyError, TypeError):
            return False
    return stored is not None and file_hash(path) == stored


def remove(store: Store, removal: Removal) -> None:
    """Take away what belongs to a run: files first, so that after an interruption the same command goes on.

    Raises:
        UserError: If the folder cannot be written.
    """
    folder = store.folder / removal.run
    try:
        for path in removal.files:
            path.unlink(missing_ok=True)
        places = {folder / "images", *(above for path in removal.files for above in path.parents)}
        for place in sorted(places, reverse=True):
            if place != folder and place.is_relative_to(folder):
                with suppress(OSError):  # something else lies there
                    place.rmdir()
        with store.transaction() as db:
            delete_run(db, removal.run)
    except OSError as error:
        raise why_unusable(store.folder, error) from error
