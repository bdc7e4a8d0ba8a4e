"""Programs that end with us: however a call or this process ends, nothing that it started stays running.

A program is not started by this process but by this file, run as a program of its own: the supervisor. Linux hands it
every process whose parent has ended (``PR_SET_CHILD_SUBREAPER``), so that one that left its process group, or forked
and ended, is still found below it in ``/proc``. The supervisor's standard input is a pipe that nobody writes to: it
ends when this process ends, by whatever signal. The file imports nothing of isrbench for that.

Out of reach is what a program asks another one to start (a container, ``systemd-run``, ``at``), what runs as another
user (``sudo``), and, on systems other than Linux, what leaves the program's process group.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
"""``prctl``'s numbers (linux/prctl.h)."""
_LEFTOVERS_SECONDS = 1.0
"""How long a program's own processes may live on after it has ended well: helpers of Python's that tidy up."""
_KILLING_SECONDS = 5.0
"""When the supervisor gives up on a process that a signal does not end."""
_REPEAT_SECONDS = 2.0
"""A terminal that closes sends SIGHUP twice: the second must not interrupt the tidying up that the first began."""


def run(argv: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes], timeout: float) -> int:
    """Run a program to its end, in the caller's folder and environment and without an input.

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
    supervisor = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, *map(str, files), *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=files, start_new_session=True,
    )  # fmt: skip
    assert supervisor.stdin is not None and supervisor.stdout is not None
    with supervisor.stdout:
        try:
            supervisor.wait(timeout)
        finally:
            supervisor.stdin.close()
            supervisor.wait(2 * _KILLING_SECONDS)
        told = supervisor.stdout.read()
    # It tells nothing if something killed it; its program was then killed with it.
    answer = json.loads(told) if told else {"code": supervisor.returncode}
    if "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]), argv[0])
    return answer["code"]


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
    _prctl(_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit(128 + signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes  # not for every command

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _supervise(stdout: int, stderr: int, argv: Sequence[str]) -> dict[str, int]:
    """Run the program; returns its "code", or the "errno" for which it cannot be started."""
    parent, seen = os.getppid(), os.pipe()
    for end in seen:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(seen[1])
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: _hand_on(number, parent))
    _prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        program = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
            preexec_fn=lambda: _prctl(_SET_PDEATHSIG, signal.SIGKILL),
        )  # fmt: skip
    except OSError as error:
        return {"errno": error.errno or 0}
    alone = _until(lambda: program.poll() is not None, seen[0])
    code = program.poll()
    if alone:
        _until(lambda: not _has_children(), seen[0], _LEFTOVERS_SECONDS)
    _kill_all(program.pid)
    return {"code": -signal.SIGKILL if code is None else code}


def _until(ended: Callable[[], bool], seen: int, seconds: float | None = None) -> bool:
    """Wait until something has ended, or the time is up; returns False once isrbench has ended or wants it."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while not ended():
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        ready, _, _ = select.select([sys.stdin, seen], [], [], left)
        if sys.stdin in ready:
            return False
        if seen in ready:
            os.read(seen, 512)
    return True


def _hand_on(number: int, parent: int) -> None:
    """Hand a signal on to isrbench: whoever sends one to the program's parent means it."""
    if os.getppid() == parent:
        os.kill(parent, number)


def _has_children() -> bool:
    """Return whether this process has children left, after burying those that have ended."""
    with suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
    return False


def _kill_all(program: int) -> None:
    """Kill the program's process group, and all that is below this process, until nothing is left."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "linux":
            os.killpg(program, signal.SIGKILL)
    deadline = time.monotonic() + _KILLING_SECONDS
    while _has_children() and time.monotonic() < deadline:
        for pid in _below(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _below(top: int) -> list[int]:
    """Return the children of a process, theirs, and so on; none where there is no ``/proc``."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            # The name stands in brackets and may hold anything, brackets too.
            parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found, new = [], [top]
    while new:
        new = [child for pid in new for child in children.get(pid, ())]
        found += new
    return found


if __name__ == "__main__":
    _answer = json.dumps(_supervise(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])).encode()
    with suppress(BrokenPipeError):  # isrbench has ended
        os.write(sys.stdout.fileno(), _answer)
