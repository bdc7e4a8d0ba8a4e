"""One call of an external program: with a time limit, nothing left running, and the end of its output if it fails."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO

from isrbench.harness.errors import UserError

_TAIL_BYTES = 2000


def arguments(template: str, values: Mapping[str, str], shell: bool) -> list[str]:
    """Return the program and its arguments for one call.

    A template is split into words before its ``{name}``s are filled in, so no file name can add a word; for a shell
    each value is quoted. Braces around any other name stay as they are.
    """
    pattern = re.compile(r"\{(" + "|".join(map(re.escape, values)) + r")\}")
    if shell:
        return ["/bin/sh", "-c", pattern.sub(lambda m: shlex.quote(values[m[1]]), template)]
    return [pattern.sub(lambda m: values[m[1]], word) for word in split_words(template)]


def split_words(template: str) -> list[str]:
    """Return the template's words as a shell would split them.

    Raises:
        UserError: If a quote is left open.
    """
    try:
        return shlex.split(template)
    except ValueError as error:
        raise UserError(f"option 'command' cannot be read: {error}: {template}", "close the quotes") from error


def call(argv: list[str], timeout: float) -> None:
    """Run a program to its end in the caller's folder and environment.

    On a timeout or an interruption the program's whole process group is killed.

    Raises:
        UserError: If it cannot be started, takes too long or exits with anything but 0; quotes the end of what it
            wrote to stderr (to stdout where stderr is empty).
    """
    shown = shlex.join(argv)
    # Files, not pipes: a grandchild that outlives the program could hold a pipe open for ever.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        except OSError as error:
            raise UserError(f"cannot start '{argv[0]}': {error.strerror}", "check the program's path") from error
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            _kill_group(process)
            raise UserError(
                f"the program did not end within {timeout:g} s: {shown}{_last_words(err, out)}",
                "allow more: -o timeout=SECONDS",
            ) from error
        except BaseException:
            _kill_group(process)
            raise
        if code != 0:
            how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
            raise UserError(f"the program {how}: {shown}{_last_words(err, out)}", "run it by hand to see more")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _last_words(*streams: IO[bytes]) -> str:
    """Return the end of the first stream that is not empty, on lines of its own."""
    for stream in streams:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL_BYTES))
        text = stream.read().decode(errors="replace").strip()
        if text:
            return "\n" + "\n".join(f"  | {line}" for line in text.splitlines()[-15:])
    return ""
