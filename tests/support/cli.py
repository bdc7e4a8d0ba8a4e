"""The command line as a test calls it: in this process, or as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from isrbench.harness.cli.main import main
from tests.support.paths import ROOT

MAIN = "from isrbench.harness.cli.main import main; main()"


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
