"""Zip archives of others: refused if they hold more than they may, or anything beside plain files. Imports no torch."""

from __future__ import annotations

import stat
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from zipfile import ZipInfo

from isrbench.harness.errors import UserError
from isrbench.harness.files import shown, size_text

RATIO = 20
"""How many times an archive's own size its files may take: photos and weights hardly shrink, uncompressed pictures to
a fifth at best."""
_SMALL = 1 << 20
"""Bytes that any archive may hold, however small it is itself: headers and texts shrink further."""
_ENCRYPTED = 0x1
_LONGEST = 255
"""Bytes of a file's name, on all common systems."""
_PLAIN = {0, stat.S_IFREG, stat.S_IFDIR}
"""Kinds of a member that an archive may hold; 0 where its writer knows of no kinds."""
_DO_NOT = "do not trust this file; fetch it again from its source"


def check_members(archive: Path, members: Sequence[ZipInfo], largest: int | None = None) -> int:
    """Check what an archive says of its files before any of them is read.

    Args:
        archive: The archive, for messages and for its own size.
        members: Those of its files that are going to be read.
        largest: Bytes that they may take, where somebody has said it; ``RATIO`` times the archive's size holds anyway.

    Returns:
        How many bytes they take.

    Raises:
        UserError: If a file is encrypted, is a link or a device, has another one's name, or all of them take more than
            they may.
    """
    for member in members:
        if member.flag_bits & _ENCRYPTED:
            raise UserError(
                f"{archive} is encrypted: {shown(member.filename)} needs a password", "pass an archive without one"
            )
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in _PLAIN:
            what = "a link" if kind == stat.S_IFLNK else "a device, a pipe or a socket"
            raise UserError(f"{archive} holds {what}, not a file: {shown(member.filename)}", _DO_NOT)
    _check_names(archive, [PurePosixPath(member.filename) for member in members])
    total, own = sum(member.file_size for member in members), archive.stat().st_size
    if total > max(RATIO * own, _SMALL):
        raise UserError(
            f"{archive} has {size_text(own)} and would unpack to {size_text(total)}, more than {RATIO} times as much: "
            "it was not unpacked",
            _DO_NOT,
        )
    if largest is not None and total > largest:
        raise UserError(
            f"{archive} would unpack to {size_text(total)}, and {size_text(largest)} is the most that its card allows: "
            "it was not unpacked",
            "do not trust this file; if it is the right one, correct the size in the card",
        )
    return total


def _check_names(archive: Path, names: Sequence[PurePosixPath]) -> None:
    """Refuse a name that comes twice, that is a file and a folder, or that no folder can hold."""
    count = Counter(names)
    folders = {above for name in count for above in name.parents}
    for name in count:
        if count[name] > 1:
            raise UserError(f"{archive} holds {shown(str(name))} twice: which one is meant cannot be told", _DO_NOT)
        if name in folders:
            raise UserError(f"{archive} holds {shown(str(name))} as a file and as a folder", _DO_NOT)
        if any(len(part.encode(errors="replace")) > _LONGEST for part in name.parts):
            raise UserError(
                f"{archive} holds a name of more than {_LONGEST} bytes: {shown(str(name))}", "pass one of shorter names"
            )


def members_of(archive: Path) -> list[ZipInfo]:
    """Return what a zip archive holds, folders too, in the order of its directory.

    Raises:
        UserError: If it is no zip archive, or cut off.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            return file.infolist()
    except Exception as error:  # a damaged directory makes zipfile fail in many ways
        reason = shown(str(error) or type(error).__name__)
        raise UserError(f"{archive} is damaged or no zip archive: {reason}", "delete it and fetch it again") from error
