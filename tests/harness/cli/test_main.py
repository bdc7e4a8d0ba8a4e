"""What the command ends with when something breaks that no message was written for."""

from __future__ import annotations

import sys
import tempfile
from itertools import count
from pathlib import Path

import pytest

from tests.support.cli import isrbench
from tests.support.packages import install

_MADE = count()


@pytest.fixture
def fails(site: Path, tmp_path: Path, monkeypatch, capsys):
    """``fails("KeyError('lost')")`` runs a tool that raises this; the logs of faults go to ``tmp_path``."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for stream in ("stdout", "stderr"):  # which click wraps on a broken pipe
        monkeypatch.setattr(sys, stream, getattr(sys, stream))

    def run(what: str, *before: str) -> tuple[int, str, str]:
        name = f"acme{next(_MADE)}"
        source = f"import errno\n\ndef main(argv=None):\n    raise {what}\n"
        install(site, name, {"isrbench.tools": {name: f"{name}_tool:main"}}, **{f"{name}_tool": source})
        return isrbench(capsys, *before, "tools", name)

    return run


def test_a_fault_is_one_line_an_exit_code_of_its_own_and_a_log(fails, tmp_path: Path) -> None:
    """1 says that some images failed, 2 that there is something for the user to fix."""
    code, out, err = fails("KeyError('lost')")
    [log] = tmp_path.glob("isrbench-*.log")
    assert code == 3 and out == ""
    tool = f"acme{next(_MADE) - 1}_tool"
    said, named = err.split("; please report it")
    assert said == f"error a fault of isrbench or of a plugin: KeyError: 'lost' ({tool}.py, line 4)"
    assert named.endswith(f", with {log}\n") and err.count("\n") == 1
    text = log.read_text()
    assert "Traceback" in text and text.rstrip().endswith("KeyError: 'lost'") and "command  isrbench tools acme" in text
    assert log.stat().st_mode & 0o077 == 0


def test_the_address_for_reports_is_the_one_that_the_package_states(fails, monkeypatch) -> None:
    from email.message import Message

    from isrbench.harness.cli import faults

    stated = Message()
    stated["Project-URL"] = "Issues, https://example.org/isrbench/issues"
    monkeypatch.setattr(faults, "metadata", lambda name: stated)
    assert "please report it to https://example.org/isrbench/issues, with " in fails("KeyError('lost')")[2]


def test_verbose_shows_the_traceback_at_once(fails, tmp_path: Path) -> None:
    code, _, err = fails("KeyError('lost')", "-v")
    assert code == 3 and "Traceback" in err and err.rstrip().endswith("KeyError: 'lost'")
    assert not list(tmp_path.glob("isrbench-*.log"))
    cause = "__import__('isrbench').UserError('no such thing', 'get one') from KeyError('lost')"
    code, _, err = fails(cause, "--verbose")
    assert code == 2 and err.startswith("error no such thing\nfix   get one\n") and err.endswith("KeyError: 'lost'\n")
    code, _, err = fails(cause)
    assert code == 2 and err == "error no such thing\nfix   get one\n"


def test_where_no_log_can_be_written_the_traceback_follows(fails, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    code, _, err = fails("KeyError('lost')")
    assert code == 3 and "Traceback" in err and err.rstrip().endswith("KeyError: 'lost'")


def test_a_file_that_ends_too_early_is_no_abort_by_the_user(fails) -> None:
    """Typer takes an EOFError for Ctrl-D and ends with 1."""
    code, _, err = fails("EOFError('Compressed file ended before the end-of-stream marker')")
    assert code == 3 and "Compressed file ended" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("KeyboardInterrupt", 130, "interrupted; everything finished so far is kept"),
        ("BrokenPipeError(errno.EPIPE, 'Broken pipe')", 1, ""),
        ("MemoryError('Unable to allocate 7.28 TiB')", 2, "not enough memory: it asks for more"),
        ("RuntimeError(\"[enforce fail] can't allocate memory: you tried\")", 2, "not enough memory"),
        ("OSError(errno.EIO, 'Input/output error', 'a.png')", 2, "a.png: Input/output error\nfix   check"),
        ("OSError(errno.ESTALE, 'Stale file handle', 'a.png')", 2, "Stale file handle\nfix   the network"),
        ("OSError(errno.ENOSPC, 'No space left on device')", 2, "error No space left on device\nfix   make room"),
        ("PermissionError(errno.EACCES, 'Permission denied', 'a')", 2, "a: Permission denied\nfix   change its perm"),
        ("OSError(errno.EMFILE, 'Too many open files')", 2, "Too many open files\nfix   allow more open files"),
        ("FileNotFoundError(errno.ENOENT, 'No such file', 'ours')", 3, "FileNotFoundError: [Errno 2] No such file"),
        ("RecursionError('maximum recursion depth exceeded')", 3, "RecursionError"),
    ],
)  # fmt: skip
def test_what_is_no_fault_keeps_its_own_end(fails, what: str, code: int, words: str) -> None:
    ended, _, err = fails(what)
    assert ended == code and words in err and "Traceback" not in err


def test_a_path_that_is_too_long_is_a_message(capsys) -> None:
    args = ("eval", "--method", "bicubic", "--dataset", "RealSR", "--data-root", "x" * 300)
    code, out, err = isrbench(capsys, *args)
    assert code == 2 and out == "" and "longer than a path can be" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "command", [("list", "runs", "--runs-dir"), ("merge", "--into", "m"), ("runs", "salvage", "--out", "a.csv")]
)
def test_links_that_lead_in_a_circle_are_the_users(
    command: tuple[str, ...], tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    code, _, err = isrbench(capsys, *command, "loop")
    assert code == 2 and "loop" in err and "fix   check the links that it leads through" in err


def test_a_file_where_a_folder_has_to_be_is_named(fails) -> None:
    code, _, err = fails("FileExistsError(errno.EEXIST, 'File exists', 'runs/a')")
    assert code == 2 and err == "error runs/a: File exists\nfix   move it away, or choose another place\n"
    code, _, err = fails("IsADirectoryError(errno.EISDIR, 'Is a directory', 'runs/.a.part', None, 'runs/a')")
    assert code == 2 and err.startswith("error runs/a: Is a directory\n")
