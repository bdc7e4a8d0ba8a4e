"""One process works on a run at a time: two would drop each other's rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from isrbench.harness.errors import UserError
from isrbench.harness.files import remove_partials, without_waiting

try:
    import fcntl
except ImportError:  # Windows: runs are not locked there
    fcntl = None

NAME = ".lock"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a run's folder, made if it is not there; one that is empty at the end is removed.

    What a killed process left half written there is removed first. The operating system lets go of the lock of a
    process that dies. Where there are no such locks (Windows, some network file systems), nothing is held.

    Raises:
        UserError: If another process, or another thread of this one, holds it.
        OSError: If the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / NAME
    try:
        with open(lock, "a", opener=without_waiting) as file:
            held = _hold(file, lock)
            try:
                if held:
                    remove_partials(folder)
                yield
            finally:
                lock.unlink(missing_ok=True)
    finally:
        with suppress(OSError):
            folder.rmdir()


def _hold(file: IO[str], lock: Path) -> bool:
    """Take the lock; return False where there are none."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The one that held it may have removed the file since it was opened: that lock would keep nobody out.
        taken = not (lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat()))
    except BlockingIOError:
        taken = True
    except OSError:
        return False
    if taken:
        raise UserError(
            f"another process is working on the run {lock.parent}",
            "wait until it has ended, then run the same command again: it goes on from there",
        )
    return True
