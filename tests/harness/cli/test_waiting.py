"""What is said while a command works: pace from the second image on, lines without a terminal, as is asked for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from rich.console import Console

from isrbench.harness.cli import terminal, waiting
from isrbench.harness.cli.waiting import Pace, duration, progress_bars, progress_lines
from tests.support.cli import isrbench
from tests.support.images import write_pairs


def test_a_pace_is_known_from_the_second_image_on() -> None:
    """However slow: rich's own estimate forgets what is older than half a minute."""
    now = [0.0]
    pace = Pace(clock=lambda: now[0])
    assert pace.text(10) == ""
    for at, done in ((100.0, 1), (148.0, 2), (196.0, 3)):
        assert done < 3 or pace.text(10) == "48 s/image, 6 min left"
        now[0] = at
        pace.update(done)
    assert pace.seconds == 48.0 and pace.text(10, "tile") == "48 s/tile, 6 min left"
    now[0] += 30
    assert pace.left(10) == 7 * 48 - 30, "it counts down between two images"
    now[0] += 1e6
    assert pace.left(10) == 6 * 48, "one image that takes long does not make the others quicker"
    pace.update(0)
    assert pace.text(10) == "", "the tiles of another picture"
    quick = Pace(clock=iter([0.0, 0.001, 0.001]).__next__)
    quick.update(1), quick.update(2)
    assert pace.text(0) == "" and quick.text(3) == "under 0.01 s/image, 0 s left"
    assert [duration(s) for s in (0.4, 59.4, 59.6, 3570, 4800)] == ["0 s", "59 s", "1 min", "1 h 00 min", "1 h 20 min"]


def test_without_a_terminal_a_line_is_said_now_and_then(capsys, monkeypatch) -> None:
    said, lines = threading.Event(), []

    def tell(text: str) -> None:
        lines.append(text)
        said.set()

    monkeypatch.setattr(waiting, "show_aside", tell)
    with progress_lines(0.01) as update:
        update("score", 5, 5)  # nothing is left of that
        update("restore", 1, 10)
        update("restore", 3, 10)
        assert said.wait(30)
    assert lines[0].startswith("restoring 3 of 10, ") and lines[0].endswith(" left") and "scoring" not in "".join(lines)
    assert not [thread for thread in threading.enumerate() if thread.name == "isrbench-progress"]


@pytest.mark.parametrize("width", [80, 120])
def test_bars_fit_a_terminal(width: int, monkeypatch) -> None:
    screen = Console(force_terminal=True, width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    monkeypatch.setattr(waiting, "err", screen)
    with progress_bars(quiet=False) as update:
        for done in (1, 2, 3):
            update("hr-severity", done, 10_000)
    last = screen.export_text().rpartition("HR severity ")[2].splitlines()[0].rstrip()
    assert "3/10000" in last and last.endswith(" left") and len("HR severity " + last) <= width


def test_as_much_is_said_as_is_asked_for(tmp_path: Path, capsys) -> None:
    """Behind the verb as before it; warnings stay, and a document stands alone."""
    pairs = write_pairs(tmp_path / "small", ["a", "b"])
    args = ("--method", "bicubic", "--dataset", pairs, "--metrics", "psnr", "--no-report", "--estimator", "none")
    phases = ["loading bicubic...", "reading the images of small...", "restoring and scoring 2 images on cpu"]
    _, out, err = isrbench(capsys, "eval", *args, "--runs-dir", tmp_path / "1")
    assert [line for line in err.splitlines() if line in phases] == phases and "timing one LR image of 16x16" in err
    for place, words in enumerate((["-q", "eval"], ["eval", "-q"], ["eval", "--json"]), 2):
        code, out, err = isrbench(capsys, *words, *args, "--runs-dir", tmp_path / str(place))
        assert code == 0 and out and err == "", words
    code, _, err = isrbench(capsys, "eval", "-v", *args, "--runs-dir", tmp_path / "9")
    assert code == 0 and "loading bicubic..." in err
    assert terminal.err.stderr
