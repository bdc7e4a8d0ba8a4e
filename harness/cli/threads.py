"""Threads that a plugin leaves behind: Python waits for them for ever, the command does not."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

PATIENCE = 5.0
"""Seconds that they get once the command has ended."""


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Have the process end, with the exit code of the block inside, although threads begun in it still run.

    The clock starts when Python itself begins to wait for them: a caller that goes on after the block is left alone.
    """
    before = set(threading.enumerate())
    code = 1
    try:
        yield
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        raise
    finally:
        left = [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]
        if left:
            over = threading.Event()
            with suppress(
                AttributeError, RuntimeError
            ):  # what concurrent.futures waits by, before the main thread ends
                threading._register_atexit(over.set)  # type: ignore[attr-defined]
            threading.Thread(target=_end, args=(left, code, over), name="isrbench-end", daemon=True).start()


def _end(left: Sequence[threading.Thread], code: int, over: threading.Event) -> None:
    while threading.main_thread().is_alive() and not over.wait(0.1):
        pass
    until = time.monotonic() + PATIENCE
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    still = [thread.name for thread in left if thread.is_alive()]
    if still:
        said = f"warning: {len(still)} thread(s) of a plugin still ran and end with the process: {', '.join(still)}\n"
        os.write(2, said.encode("utf-8", "backslashreplace"))
        with suppress(Exception):  # a plugin may have closed either
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
