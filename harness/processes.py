"""Programs that end with us: however a call or this process ends, nothing that it started stays running."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO

from isrbench.harness import supervisor

_REPEAT_SECONDS = 2.0
"""A terminal that closes sends SIGHUP twice: the second must not interrupt the tidying up that the first began."""


def run(argv: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes], timeout: float) -> int:
    """Run a program to its end, in the caller's folder and environment and without an input.

    A supervisor stands between (:mod:`isrbench.harness.supervisor`), which ends all that the program started.

    Args:
        argv: The program and its arguments.
        stdout: A file with a descriptor, for what it prints.
        stderr: A file with a descriptor, for its errors.
        timeout: Seconds that it may take.

    Returns:
        Its exit code; below 0 the signal that killed it.

    Raises:
        OSError: If it cannot be started.
        subprocess.TimeoutExpired: If it takes too long; it has been killed, with all that it started.
    """
    if os.name != "posix":
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, timeout=timeout).returncode
    files = (stdout.fileno(), stderr.fileno())
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, *map(str, files), *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=files, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    with process.stdout:
        try:
            if not select.select([process.stdout], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(argv, timeout)
        finally:
            process.stdin.close()
            process.wait(2 * supervisor.KILLING_SECONDS)
        answer = process.stdout.read().decode()
    if answer.startswith("errno "):
        number = int(answer.removeprefix("errno "))
        raise OSError(number, os.strerror(number), argv[0])
    # It tells nothing if something killed it; its program was then killed with it.
    return int(answer or process.returncode)


@contextmanager
def told_to_end() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP are as Ctrl-C, a ``KeyboardInterrupt``; the block then exits as they would.

    A signal that is ignored (``nohup``), or that somebody handles already, is left as it is; so are all signals
    outside of the main thread, where Python allows no handlers.

    Raises:
        SystemExit: With 128 and the signal's number, if one came and the block did not end well.
    """
    own, came = os.getpid(), dict[int, float]()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:  # a process that was forked off has not asked for this
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        now = time.monotonic()
        if came and now - max(came.values()) < _REPEAT_SECONDS:
            return
        came[number] = now
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = []
    with suppress(ValueError):
        for number in known:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, interrupt)
                taken.append(number)
    try:
        yield
    except BaseException as error:
        if came:
            raise SystemExit(128 + next(iter(came))) from error
        raise
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_IGN if came else signal.SIG_DFL)


def end_with_parent(parent: int) -> None:
    """Let this process be told to end (SIGTERM) when its parent ends, by whatever signal; on Linux only.

    Args:
        parent: The process that started it, which may have ended already.
    """
    supervisor.end_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(128 + signal.SIGTERM)
