"""A report's folder and the list of its files: only what the list proves to be ours is replaced or removed."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath

from isrbench.harness.documents import read_json
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import file_hash, refuse_to_replace, replacing

try:
    import fcntl
except ImportError:  # Windows: folders are not held there
    fcntl = None

log = logging.getLogger(__name__)

LIST = "report-files.json"
_OURS = re.compile(r"(index|leaderboard)\.html|(tables|plots|images|data)/.+")
"""What a report's files are called: whatever a list says, nothing else is removed."""
_UNFINISHED = re.compile(r"\.report-\w{8}")
"""A folder that a report is made in."""
_BLOCK = 1 << 20


@dataclass(frozen=True, order=True)
class Listed:
    """A file that a report wrote."""

    name: str
    """Its path below the folder, with "/"."""
    size: int
    hash: str
    """The sha256 of its bytes."""


def is_reports(folder: Path, path: Path) -> bool:
    """Return whether a report in ``folder`` may write a file of its own to ``path``."""
    place = path.resolve()
    return place.is_relative_to(folder.resolve()) and bool(
        _OURS.fullmatch(place.relative_to(folder.resolve()).as_posix())
    )


def is_whole(folder: Path) -> bool:
    """Return whether all that the last report wrote is there, each file of its size; False where there is none."""
    listed = _read(folder)
    try:
        return bool(listed) and all((folder / file.name).stat().st_size == file.size for file in listed)
    except (OSError, ValueError):  # names that no file can have
        return False


def listed_files(folder: Path) -> list[str]:
    """Return the names, with "/", of what the last report wrote into ``folder`` and nobody changed since."""
    last = _read(folder)
    return sorted(file.name for file in last if _is_ours(folder, file.name, last))


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Hold ``folder``, made where it is absent, and yield an empty one inside of it to make its files in.

    Another process that wants ``folder`` waits meanwhile. What a process that was killed has left there is removed.
    Where there are no such locks (Windows, some network file systems), nothing is held and nothing removed.

    Raises:
        OSError: If the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder) as held:
        left = [path for path in folder.iterdir() if _UNFINISHED.fullmatch(path.name) and not path.is_symlink()]
        for path in left if held else ():
            shutil.rmtree(path, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as made:
            yield Path(made)


def take_place(made: Path, folder: Path, files: Sequence[PurePosixPath], *, overwrite: bool = False) -> None:
    """Move files from ``made`` to ``folder``, and remove what only the last report had there.

    While files are moved the page is away: whoever stops that leaves no page rather than one with dead links.

    Args:
        made: Where they are, below ``folder``.
        folder: A report's, or any other.
        files: Their names, the page first.
        overwrite: Whether files may be replaced that no report wrote, or that were changed since.

    Raises:
        UserError: If such a file is in the way, or a link or a file where a folder has to be.
        OSError: If ``folder`` cannot be written.
    """
    last, names = set(_read(folder)), list(dict.fromkeys(file.as_posix() for file in files))
    now = {_listed(made, name) for name in names}
    _check(made, folder, names, last, overwrite)
    # Listed before they are there: a report that is stopped half way may still be replaced.
    _write(made, folder, last | now)
    page, *others = names
    (folder / page).unlink(missing_ok=True)
    for name in (*others, page):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).replace(folder / name)
    for file in sorted(last):
        if file.name not in names and _OURS.fullmatch(file.name):
            _remove(folder, file)
    _write(made, folder, now)


def _check(made: Path, folder: Path, names: Sequence[str], last: Collection[Listed], overwrite: bool) -> None:
    foreign: list[Path] = []
    for name in names:
        path = folder / name
        above = _in_the_way(folder, name)
        if above is not None:
            raise UserError(
                f"{above} is {'a link' if above.is_symlink() else 'not a folder'}, but the report needs a folder there",
                "move it away, or choose another folder (--out)",
            )
        if path.is_dir() and not path.is_symlink():
            raise UserError(f"{path} is a folder, but the report has a file there", "move it away, or choose --out")
        if os.path.lexists(path) and not _is_ours(folder, name, last) and not _begins(path, made / name):
            foreign.append(path)
    if not overwrite:
        refuse_to_replace(
            foreign,
            "move that away, let it be replaced (--overwrite), or choose another folder (--out)",
        )


def _in_the_way(folder: Path, name: str) -> Path | None:
    """Return what stands where the file's folders should be: a link would lead outside."""
    above = [folder / parent for parent in list(PurePosixPath(name).parents)[:-1]]
    return next((place for place in above if place.is_symlink() or (place.exists() and not place.is_dir())), None)


def _is_ours(folder: Path, name: str, last: Collection[Listed]) -> bool:
    path = folder / name
    try:
        plain = _in_the_way(folder, name) is None and path.is_file() and not path.is_symlink()
        return plain and _listed(folder, name) in last
    except (OSError, ValueError):  # a list may hold names that no file can have
        return False


def _begins(path: Path, new: Path) -> bool:
    """Return whether a file holds but the beginning of the new one: replacing it loses nothing."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > new.stat().st_size:
        return False
    with path.open("rb") as old, new.open("rb") as whole:
        while block := old.read(_BLOCK):
            if block != whole.read(len(block)):
                return False
    return True


def _remove(folder: Path, file: Listed) -> None:
    if not _is_ours(folder, file.name, {file}):
        log.info("%s is listed in %s, but is not as a report wrote it: it stays", file.name, folder / LIST)
        return
    (folder / file.name).unlink()
    for parent in list(PurePosixPath(file.name).parents)[:-1]:
        with suppress(OSError):  # it is not empty
            (folder / parent).rmdir()


def _listed(folder: Path, name: str) -> Listed:
    return Listed(name, (folder / name).stat().st_size, file_hash(folder / name))


def _write(made: Path, folder: Path, files: Collection[Listed]) -> None:
    """Write the list, by way of ``made``: what a killed process leaves of it goes with that."""
    with replacing(made / LIST) as partial:
        lines = ",\n".join(json.dumps(astuple(file)) for file in sorted(files))
        partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    (made / LIST).replace(folder / LIST)


def _read(folder: Path) -> list[Listed]:
    """Return what the list names below ``folder``; nothing where there is none, or another file of that name."""
    try:
        with foreign(f"{folder / LIST} is not a list of files", ""):
            found = read_json(folder / LIST, "")
            files = [Listed(str(name), int(size), str(hash)) for name, size, hash in found]
    except UserError:
        return []
    paths = {file: PurePosixPath(file.name) for file in files}
    return [f for f, path in paths.items() if path.parts and not path.is_absolute() and ".." not in path.parts]


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Wait for a folder's lock and hold it; the operating system lets go of that of a process that dies."""
    if fcntl is None:
        yield False
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(place)
