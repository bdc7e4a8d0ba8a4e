"""Zip archives of test sets, unpacked within bounds."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

from isrbench.harness.api.zips import check_members, members_of
from isrbench.harness.errors import UserError
from isrbench.harness.files import shown


def extract(archive: Path, folder: str, target: Path, largest: int | None = None) -> None:
    """Unpack one folder of a zip, refusing paths that lead outside, and more than it may hold.

    Args:
        archive: The zip.
        folder: The folder in it.
        target: The folder to make.
        largest: Bytes that the folder's files may take: see :func:`isrbench.harness.api.zips.check_members`.

    Raises:
        UserError: If the archive is damaged, has no such folder, or holds in it what no data set has: encrypted files,
            links, two files of one name, far more than its own size or ``largest``.
    """
    inside = folder.rstrip("/") + "/"
    listed = members_of(archive)
    members = [m for m in listed if not m.is_dir() and m.filename.startswith(inside)]
    if not members:
        tops = sorted({shown("/".join(m.filename.split("/")[:2])) for m in listed})
        raise UserError(
            f"{archive} has no folder {folder}; it holds {', '.join(tops[:8]) or 'nothing'}",
            "correct `archive.folder` in the card",
        )
    check_members(archive, members, largest)
    for member in members:
        path = target / member.filename[len(inside) :]
        if not path.resolve().is_relative_to(target.resolve()):
            raise UserError(
                f"{archive} holds a path that leads outside: {shown(member.filename)}", "do not trust this file"
            )
    with zipfile.ZipFile(archive) as file:
        for member in members:
            _unpack(archive, file, member, target / member.filename[len(inside) :])


def _unpack(archive: Path, file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Write one file of a zip; its directory has been checked, its bytes are not known yet.

    Raises:
        UserError: If the bytes are damaged, or more than the directory says.
        OSError: If the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as sink:
        try:
            source = file.open(member)
        except Exception as error:
            raise _damaged(archive, member, error) from error
        with source:
            done = 0
            while block := _next(archive, member, source):
                done += len(block)
                if done > member.file_size:
                    raise _damaged(archive, member, f"it is longer than the {member.file_size} bytes announced")
                sink.write(block)


def _next(archive: Path, member: zipfile.ZipInfo, source: IO[bytes]) -> bytes:
    try:
        return source.read(1 << 20)
    except Exception as error:  # each way of compression has errors of its own
        raise _damaged(archive, member, error) from error


def _damaged(archive: Path, member: zipfile.ZipInfo, why: object) -> UserError:
    reason = shown(str(why) or type(why).__name__)
    return UserError(f"{archive} is damaged at {shown(member.filename)}: {reason}", "delete it and fetch it again")
