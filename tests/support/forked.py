"""The command line in processes to be killed, forked off one that has imported torch: each starts in no time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from isrbench.harness.cli.main import main


def forked(*args: object, said: Path, path: Sequence[Path] = ()) -> ForkServerProcess:
    """Start the command in a process of its own.

    Args:
        *args: What stands behind ``isrbench``.
        said: File for all that it prints.
        path: Where it finds other packages first.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", __name__])
    process = context.Process(target=_command, args=(list(map(str, args)), str(said), list(map(str, path))))
    process.start()
    return process


def _command(args: list[str], said: str, path: list[str]) -> None:
    file = os.open(said, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(file, stream)
    # Where the tests run in the background of a shell, Ctrl-C is ignored unless asked for.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[:0] = path
    sys.argv = ["isrbench", *args]
    main()
