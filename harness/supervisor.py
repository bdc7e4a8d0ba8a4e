"""A program's supervisor, a program of its own: starts it, and ends it with all that it started.

Linux hands it every process below it whose parent has ended (``PR_SET_CHILD_SUBREAPER``), so that one that left its
process group, or forked and ended, is still found in ``/proc``. Its standard input is a pipe that nobody writes to: it
ends when isrbench ends, by whatever signal. Run for every call, it imports nothing of isrbench and what loads fast.

Out of reach is what a program asks another one to start (a container, ``systemd-run``, ``at``), what runs as another
user (``sudo``), and, on systems other than Linux, what leaves the program's process group.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
"""``prctl``'s numbers (linux/prctl.h)."""
_LEFTOVERS_SECONDS = 1.0
"""How long a program's own processes may live on after it has ended: helpers of Python's that tidy up."""
KILLING_SECONDS = 5.0
"""When the supervisor gives up on a process that a signal does not end."""


def end_with_parent(number: int) -> None:
    """Let this process get a signal when its parent ends, by whatever signal; on Linux only."""
    _prctl(_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes  # not for every command

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _supervise(stdout: int, stderr: int, argv: list[str]) -> str:
    """Run the program; returns its exit code, or "errno N" for which it cannot be started."""
    isrbench, (seen, wake) = os.getppid(), os.pipe()
    for end in (seen, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: _hand_on(number, isrbench))
    _prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        program = _start(stdout, stderr, argv)
    except OSError as error:
        return f"errno {error.errno}"
    status: list[int] = []

    def has_ended() -> bool:
        pid, found = os.waitpid(program, os.WNOHANG)
        if pid:
            status.append(os.waitstatus_to_exitcode(found))
        return bool(pid)

    if _until(has_ended, seen):
        _until(lambda: not _has_children(), seen, _LEFTOVERS_SECONDS)
    _kill_all(program)
    return str(status[0] if status else -signal.SIGKILL)


def _start(stdout: int, stderr: int, argv: list[str]) -> int:
    """Start the program in a session of its own and return its id.

    Raises:
        OSError: If it cannot be started.
    """
    told, tell = os.pipe()  # closed when the program has taken over
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            end_with_parent(signal.SIGKILL)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
                signal.signal(number, signal.SIG_DFL)
            for place, file in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
                os.set_inheritable(file, False)
                os.dup2(file, place)
            os.execvp(argv[0], argv)
        except OSError as error:
            os.write(tell, str(error.errno).encode())
        finally:
            os._exit(255)
    os.close(tell)
    failed = os.read(told, 32)
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)))
    return pid


def _until(ended: Callable[[], bool], seen: int, seconds: float | None = None) -> bool:
    """Wait until something has ended, or the time is up; returns False once isrbench has ended or wants it."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while not ended():
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            break
        ready, _, _ = select.select([0, seen], [], [], left)
        if 0 in ready:
            return False
        if seen in ready:
            os.read(seen, 512)
    return True


def _hand_on(number: int, isrbench: int) -> None:
    """Hand a signal on: whoever sends one to the program's parent means isrbench."""
    if os.getppid() == isrbench:
        os.kill(isrbench, number)


def _has_children() -> bool:
    """Return whether this process has children left, after burying those that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    except ChildProcessError:
        return False


def _kill_all(program: int) -> None:
    """Kill all that is below this process until nothing is left; without a ``/proc``, the program's process group."""
    deadline = time.monotonic() + KILLING_SECONDS
    while _has_children() and time.monotonic() < deadline:
        below = _below(os.getpid())
        for pid in below:
            _kill(os.kill, pid)
        if not below:
            _kill(os.killpg, program)
        time.sleep(0.002)


def _kill(kill: Callable[[int, int], None], pid: int) -> None:
    try:  # noqa: SIM105  (contextlib takes longer to load than most calls need)
        kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has ended, or runs as another user
        pass


def _below(top: int) -> list[int]:
    """Return the children of a process, theirs, and so on; none where there is no ``/proc``."""
    from pathlib import Path  # rarely needed

    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The program's name stands in brackets and may hold anything, brackets too.
            parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found, new = [], [top]
    while new:
        new = [child for pid in new for child in children.get(pid, ())]
        found += new
    return found


if __name__ == "__main__":
    _answer = _supervise(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    try:  # noqa: SIM105
        os.write(1, _answer.encode())
    except BrokenPipeError:  # isrbench has ended
        pass
