"""Nothing that a program of ours started stays running, however the call or isrbench itself ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from isrbench.harness import processes
from tests.support.cli import started
from tests.support.images import noise_image
from tests.support.paths import ROOT

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux finds processes that have left their parents"),
]

ESCAPES = """
import os, sys, time
pids, then = sys.argv[-2:]
def note(): print(os.getpid(), file=open(pids, "a"), flush=True)
note()
if os.fork() == 0:  # a child that forks and ends, in a session of its own
    os.setsid()
    if os.fork() == 0:
        note()
        os.execve("/bin/sleep", ["sleep", "60"], {})  # nor does its environment tell whose it is
    os._exit(0)
if os.fork() == 0:
    os.setpgid(0, 0)
    note()
    time.sleep(60)
while len(open(pids).read().split()) < 3: time.sleep(0.01)
if then != "ends": time.sleep(60)
"""


def _running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _soon(happened: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


def _pids(file: Path) -> list[int]:
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def _gone(file: Path) -> bool:
    return len(_pids(file)) == 3 and _soon(lambda: not any(map(_running, _pids(file))), 5)


@pytest.mark.parametrize(("then", "timeout"), [("ends", 60.0), ("stays", 1.5)])
def test_children_that_left_their_group_or_whose_parent_ended_are_ended_too(tmp_path, then, timeout):
    pids = tmp_path / "pids"
    argv = [sys.executable, "-c", ESCAPES, str(pids), then]
    with (tmp_path / "said").open("wb") as said:
        if then == "ends":
            assert processes.run(argv, stdout=said, stderr=said, timeout=timeout) == 0
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                processes.run(argv, stdout=said, stderr=said, timeout=timeout)
    assert _gone(pids), (_pids(pids), (tmp_path / "said").read_text())


def test_a_program_is_seen_as_if_nothing_stood_between(tmp_path):
    def run(*argv: str) -> tuple[int, str]:
        with (tmp_path / "out").open("w+b") as out:
            code = processes.run(argv, stdout=out, stderr=out, timeout=20)
            return code, (out.seek(0), out.read())[1].decode()

    assert run("/bin/sh", "-c", "cat; pwd; kill -9 $$") == (-9, f"{Path.cwd()}\n")
    assert run("/bin/sh", "-c", "echo $0 >&2; exit 127", "a b") == (127, "a b\n")
    (tmp_path / "text").write_text("no program")
    for path, error in ((tmp_path / "text", PermissionError), (tmp_path / "absent", FileNotFoundError)):
        with pytest.raises(error):
            run(str(path))


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_however_this_process_ends_its_program_ends(tmp_path, number):
    pids = tmp_path / "pids"
    script = (
        "import sys\nfrom isrbench.harness import processes\n"
        "with processes.told_to_end(), open(sys.argv[1], 'wb') as said:\n"
        "    try: processes.run(sys.argv[2:], stdout=said, stderr=said, timeout=60)\n"
        "    finally: print('tidied up')\n"
    )
    parent = started(
        str(tmp_path / "said"), sys.executable, "-c", ESCAPES, str(pids), "stays", script=script, path=(ROOT,)
    )
    assert _soon(lambda: len(_pids(pids)) == 3)
    parent.send_signal(number)
    out, err = parent.communicate(timeout=30)
    assert _gone(pids) and "Traceback" not in err
    expected = (128 + number, "tidied up\n") if number == signal.SIGHUP else (-number, "")
    assert (parent.returncode, out) == expected


def test_a_process_of_a_training_ends_with_the_one_that_started_it(tmp_path):
    child = (
        "import os, sys, time\nfrom isrbench.harness.processes import end_with_parent\n"
        "end_with_parent(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(60)\n"
    )
    parent = "import os, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())])"
    process = started(child, script=parent, path=(ROOT,))
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    assert _soon(lambda: not _running(pid))
    process.communicate()
    with pytest.raises(SystemExit):
        processes.end_with_parent(pid)


def test_a_signal_that_was_ignored_stays_ignored():
    """``nohup`` does that."""
    script = (
        "import os, signal\nfrom isrbench.harness import processes\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with processes.told_to_end():\n    os.kill(os.getpid(), signal.SIGHUP); print('went on')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_sigterm_leaves_neither_the_program_of_command_nor_its_folder(tmp_path):
    from isrbench.harness.imaging.images import write_png

    (tmp_path / "temporary").mkdir()
    (tmp_path / "program.py").write_text(ESCAPES)
    write_png(tmp_path / "a.png", noise_image(4, 4))
    pids = tmp_path / "pids"
    command = f"'{sys.executable}' '{tmp_path / 'program.py'}' {{input}} {{output}} '{pids}' stays"
    process = started(
        "restore", tmp_path / "a.png", tmp_path / "b.png", "--method", "command", "-o", f"command={command}",
        env={"TMPDIR": str(tmp_path / "temporary")},
    )  # fmt: skip
    assert _soon(lambda: len(_pids(pids)) == 3, 120)
    assert list((tmp_path / "temporary").iterdir())
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM and "interrupted; everything finished so far is kept" in err
    assert _gone(pids) and not list((tmp_path / "temporary").iterdir())
