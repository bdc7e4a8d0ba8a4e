"""Files that are whole or not there, their hashes, and the images of a folder."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.harness.formats import IMAGE_SUFFIXES, is_image, kind_of

log = logging.getLogger(__name__)

_SHOWN = 4
"""Names of files in a message."""


def list_images(folder: Path, *, recursive: bool = False, tell: bool = False) -> list[Path]:
    """Return the image files in ``folder``, sorted by path; hidden files are passed over.

    A file is an image if its ending or its content says so (:func:`isrbench.harness.formats.is_image`). One whose name
    goes on behind that of another, such as ``a.png.bak``, is a copy of it and passed over. A folder whose name ends as
    an image's does is none; a link to nothing is listed, for its reader to report.

    Args:
        folder: Where to look.
        recursive: Look below its folders too.
        tell: Warn of what is passed over although it is a picture.

    Raises:
        OSError: If the folder cannot be read.
    """
    entries = folder.rglob("*") if recursive else folder.iterdir()
    files = [p for p in entries if not p.name.startswith(".") and not p.is_dir()]
    named = {p for p in files if p.suffix.lower() in IMAGE_SUFFIXES}
    others = [p for p in files if p not in named]
    found = {p for p in others if not _is_copy(p, named) and is_image(p)}
    if tell:
        _tell_passed_over(folder, [p for p in others if p not in found], named | found)
    return sorted(named | found)


def _is_copy(path: Path, images: Collection[Path]) -> bool:
    """Return whether a name is that of an image and more."""
    name = path.name
    return any(path.with_name(name[:end]) in images for end in range(1, len(name)) if name[end] in "._-~ ")


def _tell_passed_over(folder: Path, others: Iterable[Path], images: Collection[Path]) -> None:
    kinds = {path: kind for path in sorted(others) if (kind := kind_of(path)) is not None and kind.picture}
    if kinds:
        names = [
            f"{path.relative_to(folder)} ({'a copy' if _is_copy(path, images) else kind.name})"
            for path, kind in kinds.items()
        ]
        log.warning("%s: passed over, as they are not read: %s", folder, some(names))


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


def takes_nothing(error: OSError) -> bool:
    """Return whether a place that refuses one file with this error refuses all: it is full, read-only or forbidden."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


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
