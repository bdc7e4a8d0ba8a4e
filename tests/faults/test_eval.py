"""Runs that are killed, two commands on one runs folder, a store that is locked or full: the table is a quiet run's.

The slow tests kill processes as often as ``$ISRBENCH_KILLS`` says, three times a runner unless told otherwise.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from isrbench.harness.engine.evaluate import RunResult, evaluate
from isrbench.harness.errors import UserError
from isrbench.harness.store import opening
from isrbench.harness.store.schema import FILE
from isrbench.harness.store.store import Store
from tests.support.cli import finished, started
from tests.support.images import write_pairs

KILLS = int(os.environ.get("ISRBENCH_KILLS", "3"))
NAMES = [f"{n:02d}" for n in range(40)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("set") / "set", NAMES)


def quiet(images: Path, runs: Path, method: str = "bicubic") -> RunResult:
    """One that nothing happens to."""
    return evaluate(
        method, images, metrics=["psnr", "ssim"], estimator="none", complexity=False, runner="serial", runs_dir=runs
    )


def rows(result: RunResult) -> list[str]:
    """What is stored of a run, and its PNGs, without times and places."""
    home = str(result.folder.parent)
    frames = result.images().drop(columns="seconds"), result.scores()
    pngs = [path.read_bytes().hex() for path in sorted((result.folder / "images").glob("*.png"))]
    return [*(frame.to_csv(index=False).replace(home, "") for frame in frames), *pngs]


def argv(images: Path, runs: Path, *more: str, method: str = "bicubic") -> list[str]:
    return [
        "eval", "--method", method, "--dataset", str(images), "--metrics", "psnr,ssim", "--estimator", "none",
        "--no-complexity", "--no-report", "--runs-dir", str(runs), *more,
    ]  # fmt: skip


def count(runs: Path) -> int:
    return len(list(runs.glob("*/images/*.png")))


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("runner", ["serial", "threads", "ray"])
def test_killed_at_random_and_called_again_the_table_is_the_same(runner: str, images: Path, tmp_path: Path) -> None:
    if runner == "ray":
        pytest.importorskip("ray", reason="needs the extra ray")
    runs, draw, killed = tmp_path / "killed", random.Random(runner), 0
    for _ in range(KILLS):
        process = started(*argv(images, runs, "--runner", runner, "--workers", "2"))
        enough, deadline = count(runs) + draw.randint(1, 8), time.monotonic() + 300
        while process.poll() is None and count(runs) < enough and time.monotonic() < deadline:
            time.sleep(0.0005)
        killed += process.poll() is None
        process.kill()
        process.communicate()
    code, _, said = finished(*argv(images, runs, "--runner", runner, "--workers", "2"))
    assert code == 0 and killed, said
    again = quiet(images, runs)
    assert not again.computed and again.failed == 0, "nothing was left to do, whoever asks"
    assert rows(again) == rows(quiet(images, tmp_path / "quiet"))
    assert not [path for path in runs.rglob("*") if path.name.endswith(".part")] or killed


@pytest.mark.slow
@pytest.mark.process
def test_a_cluster_without_a_machine_ends_the_run_which_goes_on_later(images: Path, tmp_path: Path) -> None:
    """Ray itself waits for ever where the daemon of its last machine has ended."""
    pytest.importorskip("ray", reason="needs the extra ray")
    psutil = pytest.importorskip("psutil", reason="needs psutil")
    process = started(*argv(images, tmp_path, "--runner", "ray", "--workers", "1"))
    deadline = time.monotonic() + 300
    while process.poll() is None and not count(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.0005)
    agents = [p for p in psutil.Process(process.pid).children(recursive=True) if "DashboardAgent" in p.name()]
    assert agents, "the daemon ends with its agent"
    agents[0].kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2 and "no machine of the Ray cluster is left" in " ".join(said.split()), said
    assert rows(quiet(images, tmp_path)) == rows(quiet(images, tmp_path / "quiet"))


@pytest.mark.slow
@pytest.mark.process
def test_commands_that_share_a_runs_folder_do_not_harm_each_other(images: Path, tmp_path: Path) -> None:
    """Two methods at once both end well; of two that want the same run one may be told to wait."""
    runs = tmp_path / "shared"
    calls = [argv(images, runs), argv(images, runs, method="lanczos"), argv(images, runs)]
    processes = [started(*call) for call in calls]
    ends = [(process.communicate(timeout=300)[1], process.returncode) for process in processes]
    assert ends[1][1] == 0, ends[1]
    for said, code in (ends[0], ends[2]):
        assert code == 0 or (code == 2 and "another process is working on the run" in " ".join(said.split())), said
    assert 0 in {ends[0][1], ends[2][1]}
    for method in ("bicubic", "lanczos"):
        again = quiet(images, runs, method)
        assert not again.computed and rows(again) == rows(quiet(images, tmp_path / "quiet", method))


@contextmanager
def writing(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_store_that_another_process_writes_to_is_waited_for(images: Path, tmp_path: Path) -> None:
    first = quiet(images, tmp_path)
    with writing(tmp_path / FILE) as other:
        timer = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
        timer.start()
        second = quiet(images, tmp_path, "lanczos")
        timer.join()
    assert second.failed == 0 and first.failed == 0 and len(second.scores()) == 2 * len(NAMES)


def test_a_store_that_has_no_room_is_one_message_and_keeps_what_is_done(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself says so, of a file that may not grow beyond half of what the rows need."""
    whole = quiet(images, tmp_path / "quiet")
    with closing(sqlite3.connect(tmp_path / "quiet" / FILE)) as db:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (tables,) = db.execute("SELECT MAX(rootpage) FROM sqlite_master").fetchone()

    class Small(opening.Connection):
        def __init__(self, *args, **more) -> None:
            super().__init__(*args, **more)
            self.execute(f"PRAGMA max_page_count={(pages + tables) // 2}")

    with monkeypatch.context() as patch:
        patch.setattr(opening, "Connection", Small)
        with pytest.raises(UserError, match="full") as caught:
            quiet(images, tmp_path / "full")
    assert "room" in (caught.value.fix or "")
    with Store(tmp_path / "full", create=False) as store:
        (run,) = store.run_ids()
        kept = {row.image for row in store.images(run)}
    assert kept and len(kept) < len(NAMES)
    again = quiet(images, tmp_path / "full")
    assert again.run == run and again.failed == 0 and rows(again) == rows(whole)
