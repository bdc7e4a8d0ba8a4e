"""Files that are whole or not there, their kinds and hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from isrbench.harness.errors import UserError, foreign

_KINDS = {
    stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}  # fmt: skip
_SHOWN = 4
"""Names of files in a message."""


def some(names: Sequence[object]) -> str:
    """Return the first few of many names, and how many more there are, for a message."""
    shown = ", ".join(map(str, names[:_SHOWN]))
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def is_there(path: Path) -> bool:
    """Return whether a path exists; a text too long or too odd for a path, as users may type, stands for nothing."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.EINVAL}:
            return False
        raise


def is_full(error: OSError) -> bool:
    """Return whether a disk, or the share of it that is allowed, has no room left."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def check_file(path: Path, fix: str, what: str = "") -> None:
    """Check that there is a file to read: a device or a pipe may never end, or let its reader wait for ever.

    Every reader of a file that a user or a foreign file names comes by here before it opens anything.

    Args:
        path: The file, or a link to it.
        fix: How to get on.
        what: What it is, in words, for the message.

    Raises:
        UserError: If there is nothing, no permission to look, or anything but a regular file.
    """
    name = f"{what} {path}".lstrip()
    with foreign(f"{name} cannot be read", fix):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            raise UserError(f"{name} does not exist", fix) from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "special file")
        raise UserError(f"{name} cannot be read: it is a {kind}, not a file", fix)


def without_waiting(path: str, flags: int) -> int:
    """Open a file, for ``open(..., opener=without_waiting)``: a pipe or the kernel's log answers at once."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def takes_nothing(error: OSError) -> bool:
    """Return whether a place that refuses one file with this error refuses all: it is full, read-only or forbidden."""
    return is_full(error) or error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_as_named(path: Path) -> bool:
    """Return whether a file in the Hugging Face cache holds what the hub has under this name.

    The cache keeps contents under their hash, sha256 for large files and git's for small ones, with links to them. A
    file that is no such link (on systems without links it is a copy) tells nothing, and passes.

    Args:
        path: A file, or the link to it.
    """
    content = path.resolve()
    digits = content.name
    if set(digits) <= set("0123456789abcdef"):
        if len(digits) == 64:
            return file_hash(content) == digits
        if len(digits) == 40:
            whole = content.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(whole) + whole, usedforsecurity=False).hexdigest() == digits
    return True


def refuse_to_replace(files: Iterable[Path], fix: str) -> None:
    """Check that none of the files is there, or has to lie below something that is not a folder.

    Args:
        files: Files that somebody else may have written.
        fix: How to get on, for the message.

    Raises:
        UserError: Naming the files in the way.
    """
    found: dict[Path, None] = {}
    for file in files:
        above = next((place for place in file.parents if place.exists()), file)
        if os.path.lexists(file):
            found[file] = None
        elif not above.is_dir():
            found[above] = None
    if found:
        names = [str(path) for path in found]
        shown = some(names)
        what = (
            "is there already and would be overwritten"
            if len(names) == 1
            else "are there already and would be overwritten"
        )
        raise UserError(f"{shown} {what}", fix)


_PARTIAL = re.compile(r"\..{1,32}\.[0-9a-f]{8}\.\d+\.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file to write to, which takes the place of ``path`` when the block ends.

    ``path`` holds the whole new file or what was there before, also after a power failure.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the partial file is removed.
    """
    # Short, whatever the file is called: a name that a folder can hold must not become one that it cannot.
    told_apart = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    partial = path.with_name(f".{path.name[:32]}.{told_apart}.{os.getpid()}.part")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left of files that they were :func:`replacing` in a folder and below it.

    Only for a folder that no other process writes to: a file that is being written looks the same.
    """
    for path in folder.rglob(".*.part"):
        if _PARTIAL.fullmatch(path.name):
            path.unlink(missing_ok=True)


def size_below(folder: Path) -> int:
    """Return the bytes of all files in a folder and below it; what goes meanwhile is left out."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.lstat().st_size if path.is_file() else 0
    return size


def size_text(size: int) -> str:
    """Return a number of bytes in three digits, such as ``66.9 MB``."""
    for unit, word in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {word}"
    return f"{size} bytes"


def shown(name: str, length: int = 80) -> str:
    """Return a name out of a file of somebody else's as a terminal may show it: no control characters, not too long."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name[: length + 1])
    return plain if len(name) <= length else f"{plain[:length]}..."
