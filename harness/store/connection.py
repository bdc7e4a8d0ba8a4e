"""The boundary between SQLite and everything else: what its file or its disk does wrong becomes one line here."""

from __future__ import annotations

import errno
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isrbench.harness.errors import UserError, reason, shortened

PATIENCE = 30.0
"""Seconds to wait for another process's transaction."""
_DAMAGE = ("Could not decode", "no such table", "no such column", "disk I/O error", "malformed", "has no column")
"""Words of SQLite's errors of operation that speak of the file's content, not of its place."""


class Connection(sqlite3.Connection):
    """A connection to a store: errors in any statement, or at any row of its answer, are UserErrors.

    Not before ``folder`` is set: whoever opens a store tries another way where the first one fails.
    """

    folder: Path | None = None
    """The runs folder."""

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        """Run a statement."""
        return self.cursor(_Cursor).execute(*statement)

    def executemany(self, *statement: Any) -> sqlite3.Cursor:
        """Run a statement for each of several rows."""
        return self.cursor(_Cursor).executemany(*statement)


class _Cursor(sqlite3.Cursor):
    connection: Connection

    def execute(self, *statement: Any) -> _Cursor:
        with self._failures_are_clear():
            return super().execute(*statement)

    def executemany(self, *statement: Any) -> _Cursor:
        with self._failures_are_clear():
            return super().executemany(*statement)

    def fetchone(self) -> Any:
        with self._failures_are_clear():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        with self._failures_are_clear():
            return super().fetchall()

    def __next__(self) -> Any:
        with self._failures_are_clear():
            return super().__next__()

    @contextmanager
    def _failures_are_clear(self) -> Iterator[None]:
        folder = self.connection.folder
        try:
            yield
        except UnicodeDecodeError as error:  # SQLite's own words quote what it found, which need not be text
            damage = sqlite3.DatabaseError("database disk image is malformed")
            raise damage if folder is None else why_unusable(folder, damage) from error
        except sqlite3.DatabaseError as error:
            ours = isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError)  # a mistake of the program
            if folder is None or ours:
                raise
            raise why_unusable(folder, error) from error


def why_unusable(folder: Path, error: OSError | sqlite3.Error) -> UserError:
    """Return why a runs folder failed: it is locked, full, or cannot be written, or its store is damaged."""
    # Of a text that is none, SQLite quotes all.
    said = (error.strerror if isinstance(error, OSError) else None) or shortened(error).partition(" with text ")[0]
    if "locked" in said:
        return UserError(
            f"another process has been writing to {folder} for {PATIENCE:.0f} s ({said})",
            "wait until it has ended, or use another --runs-dir DIR",
        )
    if "full" in said or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        fix = "make room, then run the same command again: it continues where it stopped"
        return UserError(f"cannot write to {folder}: {said}", fix)
    if type(error) is sqlite3.DatabaseError or (isinstance(error, sqlite3.Error) and any(w in said for w in _DAMAGE)):
        return damaged(folder, said)
    return UserError(f"the runs folder {folder} cannot be used: {said}", "choose another with --runs-dir DIR")


def damaged(folder: Path, said: str) -> UserError:
    """Return what to say of a store that holds something other than it was given."""
    salvage = f"isrbench runs salvage {shlex.quote(str(folder))} --out salvaged.sqlite"
    return UserError(
        f"the store of {folder} is damaged: {said}",
        f"save the rows that can still be read: {salvage}; or go on with another --runs-dir DIR",
    )


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Say that the store of a runs folder is damaged where the block finds stored values that nobody stored.

    Raises:
        UserError: For a ValueError or TypeError in the block.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise damaged(folder, reason(error)) from error
