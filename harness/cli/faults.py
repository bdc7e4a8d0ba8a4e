"""The last boundary: an exception that nothing expected is one line, and a file that can be sent to us."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import sys
import tempfile
import traceback
from datetime import datetime, timezone
from importlib.metadata import metadata
from pathlib import Path

from isrbench.harness.errors import UserError, reason, shortened

_OF_THE_SYSTEM = {
    errno.EIO: "check the disk or the network drive, then run the same command again",
    errno.ESTALE: "the network drive went away; mount it again, then run the same command again",
    errno.ENOTCONN: "the network drive went away; mount it again, then run the same command again",
    errno.ETIMEDOUT: "the disk or the network drive does not answer; run the same command again",
    errno.ENODEV: "check the disk or the network drive, then run the same command again",
    errno.ENXIO: "check the disk or the network drive, then run the same command again",
    errno.ENOSPC: "make room, then run the same command again",
    errno.EDQUOT: "make room, then run the same command again",
    errno.EROFS: "choose a place that can be written",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENAMETOOLONG: "shorten it, or check the command",
    errno.ELOOP: "check the links that it leads through",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "check the path",
    errno.EEXIST: "move it away, or choose another place",
    errno.EMFILE: "allow more open files: ulimit -n 4096",
    errno.ENFILE: "end other programs, then run the same command again",
    errno.ENOMEM: "end other programs, or use a machine with more memory",
}
"""What a system says of itself, wherever it says it, and how to get on."""


_NO_MEMORY = "can't allocate memory"


def of_the_system(error: BaseException) -> UserError | None:
    """Return what to say of an error that is the machine's, not the program's; None for any other."""
    # torch has an error of its own for a GPU's memory, and none for the processor's.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _NO_MEMORY in str(error):
        return UserError(f"there is not enough memory: {reason(error)}", _OF_THE_SYSTEM[errno.ENOMEM])
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib's, before Python 3.13
        return UserError(shortened(error), _OF_THE_SYSTEM[errno.ELOOP])
    if not isinstance(error, OSError) or error.errno not in _OF_THE_SYSTEM:
        return None
    if error.errno == errno.ENAMETOOLONG:
        return UserError(f"{error.filename} is longer than a path can be", _OF_THE_SYSTEM[error.errno])
    place = error.filename2 or error.filename  # of a move, where to: the other is a file in the making
    where = f"{place}: " if place else ""
    return UserError(f"{where}{reason(error)}", _OF_THE_SYSTEM[error.errno])


def keep_log(error: BaseException) -> Path | None:
    """Write what happened to a file of its own in the system's temporary folder; None where that cannot be written.

    It holds the command, releases, and the traceback; nobody else may read it.
    """
    lines = [
        f"time     {datetime.now(timezone.utc).isoformat(timespec='seconds')}",
        f"command  {shlex.join(['isrbench', *sys.argv[1:]])}",
        f"folder   {_folder()}",
        f"isrbench {_fact('Version')}, Python {platform.python_version()}, {platform.platform()}",
        "",
        "".join(traceback.format_exception(type(error), error, error.__traceback__)),
    ]
    try:
        handle, name = tempfile.mkstemp(prefix="isrbench-", suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123 - a handle
            file.write("\n".join(lines))
    except OSError:
        return None
    return Path(name)


def say(error: BaseException, log: Path | None) -> str:
    """Return the one line of an exception that nothing expected.

    Args:
        error: The exception.
        log: Where :func:`keep_log` wrote it; None = the traceback follows.
    """
    said = f"{type(error).__name__}: {shortened(error)}".removesuffix(": ")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"a fault of isrbench or of a plugin: {said}{where}; please report it{_where_to()}, with {log or 'this:'}"


def _where_to() -> str:
    """The project's address for reports, if the package as it is installed states one (``Issues`` in project.urls)."""
    for entry in metadata("isrbench").get_all("Project-URL") or ():
        label, _, url = entry.partition(", ")
        if label == "Issues":
            return f" to {url}"
    return " where you got isrbench from"


def _fact(name: str) -> str:
    return str(metadata("isrbench")[name])


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a text, whatever it holds
    except OSError:
        return "gone"
