"""What the command ends with when something breaks that no message was written for."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli import isrbench
from tests.support.packages import install


def test_a_fault_has_an_exit_code_of_its_own_and_its_traceback(site: Path, capsys) -> None:
    """1 says that some images failed, 2 that there is something for the user to fix."""
    source = "def main(argv=None):\n    raise KeyError('lost')\n"
    install(site, "acme", {"isrbench.tools": {"acme": "acme_tool:main"}}, acme_tool=source)
    code, out, err = isrbench(capsys, "tools", "acme")
    assert code == 3 and out == "" and "Traceback" in err and err.rstrip().endswith("KeyError: 'lost'")


def test_a_path_that_is_too_long_is_a_message(capsys) -> None:
    args = ("eval", "--method", "bicubic", "--dataset", "RealSR", "--data-root", "x" * 300)
    code, out, err = isrbench(capsys, *args)
    assert code == 2 and out == "" and "longer than a path can be" in err and "Traceback" not in err
