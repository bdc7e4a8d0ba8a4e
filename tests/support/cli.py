"""The command line as a test calls it: in this process, or as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from isrbench.harness.cli.main import main
from tests.support.paths import ROOT

MAIN = "from isrbench.harness.cli.main import main; main()"


_IN_TURN = """
import contextlib, io, json, sys
from isrbench.harness.cli.main import main
answers = []
for args in json.loads(sys.argv[1]):
    if isinstance(args, str):
        exec(args)
        continue
    sys.argv, said, code = ["isrbench", *args], io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    answers.append((code, said.getvalue()))
print(json.dumps(answers))
"""


def isrbench(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run the command in this process; (exit code, standard output, standard error)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["isrbench", *map(str, args)])
        try:
            main()
            code: object = 0
        except SystemExit as stop:
            code = stop.code or 0
    said = capsys.readouterr()
    assert isinstance(code, int)
    return code, said.out, said.err


def started(
    *args: object,
    script: str = MAIN,
    path: tuple[Path, ...] = (),
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start the command in a process of its own; ``path`` is where it finds other packages first."""
    environment = {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1", **(env or {})}
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finished(*args: object, script: str = MAIN, path: tuple[Path, ...] = (), **more: object) -> tuple[int, str, str]:
    """Run the command in a process of its own to its end; (exit code, standard output, standard error)."""
    process = started(*args, script=script, path=path, **more)  # type: ignore[arg-type]
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def finished_in_turn(commands: Sequence[Sequence[object] | str], **more: object) -> list[tuple[int, str]]:
    """Run commands one after the other in one process, which imports torch once; (exit code, all output) of each.

    A text among them is Python code that is run in between, and has no answer.
    """
    listed = json.dumps([c if isinstance(c, str) else list(map(str, c)) for c in commands])
    code, out, err = finished(listed, script=_IN_TURN, **more)  # type: ignore[arg-type]
    assert code == 0, err
    return [(code, said) for code, said in json.loads(out.splitlines()[-1])]
