"""The command line over time: the same command again, Ctrl-C, kill -9, and a failed image that is repaired later."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pytest

from isrbench.harness.engine.evaluate import evaluate
from isrbench.harness.store.store import Store
from tests.support.cli import finished, isrbench
from tests.support.forked import forked
from tests.support.images import write_pairs
from tests.support.packages import install
from tests.support.plugins import SLOW_METHOD, SLOW_METRIC

PLAIN = ("--no-complexity", "--no-report", "--estimator", "none")


def table(runs: Path) -> tuple[list, list]:
    with Store(runs, create=False) as store:
        images = [{k: v for k, v in r.items() if k != "seconds"} for r in store.rows("images", store.run_ids())]
        return images, store.rows("scores", store.run_ids())


def test_one_failed_image_of_24_leaves_the_runs_folder_usable(tmp_path: Path, capsys) -> None:
    runs, made = tmp_path / "runs", tmp_path / "made"
    pairs = write_pairs(tmp_path / "set", [f"image_{i:02d}" for i in range(24)])
    plain = ("--dataset", pairs, "--metrics", "psnr", "--runs-dir", runs, *PLAIN)
    code, _, _ = isrbench(capsys, "eval", "--method", "bicubic", *plain)
    assert code == 0
    folders = [path / "images" for path in runs.iterdir() if path.name.startswith("bicubic")]
    shutil.copytree(folders[0], made)
    (made / "image_07.png").unlink()
    folder = ("eval", "--method", "folder", "-o", f"images={made}", *plain)
    code, out, err = isrbench(capsys, *folder)
    assert code == 1, err
    assert "23 of 24 images restored" in out
    code, _, err = isrbench(capsys, "report", "--runs-dir", runs, "--out", tmp_path / "report")
    assert code == 0, err
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "image_07" in page and "holds no image_07.png" in page
    target = tmp_path / "images.csv"
    code, _, err = isrbench(capsys, "export", "--table", "images", "--to", target, "--runs-dir", runs)
    assert code == 0, err
    rows = pd.read_csv(target)
    assert len(rows) == 48
    assert list(rows[rows["status"] == "failed"]["image"]) == ["image_07"]
    assert list(rows[rows["output_path"].isna()]["image"]) == ["image_07"]
    # A healthy method in the same folder, and the repaired one, go on as if nothing had been.
    assert isrbench(capsys, "eval", "--method", "lanczos", *plain)[0] == 0
    shutil.copy(folders[0] / "image_07.png", made)
    code, out, _ = isrbench(capsys, *folder)
    assert code == 0 and "24 of 24 images restored" in out


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Sixty pairs: enough to be killed among them."""
    return write_pairs(tmp_path_factory.mktemp("many") / "set", [f"{i:02d}" for i in range(60)])


@pytest.fixture(scope="module")
def untouched(many: Path, tmp_path_factory) -> tuple[list, list]:
    runs = tmp_path_factory.mktemp("untouched")
    evaluate("bicubic", many, metrics=["psnr"], runs_dir=runs, complexity=False, estimator="none")
    return table(runs)


@pytest.mark.process
@pytest.mark.parametrize("after", [0, 1, 20, 45])
def test_killed_after_so_many_images_the_next_run_gives_the_same_table(
    after: int, many: Path, untouched: tuple[list, list], tmp_path: Path, capsys
) -> None:
    runs = tmp_path / "runs"
    command = ("eval", "--method", "bicubic", "--dataset", many, "--metrics", "psnr", "--runs-dir", runs, *PLAIN)
    process = forked(*command, said=tmp_path / "said")
    while process.is_alive() and (not runs.exists() or len([*runs.glob("*/images/[0-9]*.png")]) < after):
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it ended before it could be killed"
    assert len([*runs.glob("*/images/[0-9]*.png")]) < 60
    code, out, _ = isrbench(capsys, *command)
    assert code == 0 and "60 of 60" in out
    assert table(runs) == untouched
    assert not [*runs.glob("*/images/.*.part")], "the killed process left a partial file behind"


@pytest.mark.process
@pytest.mark.parametrize(("method", "metric"), [("slow", "psnr"), ("bicubic", "slow")])
def test_ctrl_c_says_that_everything_is_kept(method: str, metric: str, pairs_folder: Path, tmp_path: Path) -> None:
    install(
        tmp_path / "site", "slow",
        {"isrbench.methods": {"slow": "slow_method:PLUGIN"}, "isrbench.metrics": {"slow": "slow_metric:METRIC"}},
        slow_method=SLOW_METHOD, slow_metric=SLOW_METRIC,
    )  # fmt: skip
    args = ("eval", "--method", method, "--dataset", pairs_folder, "--metrics", metric, "--runs-dir", tmp_path / "r")
    said = tmp_path / "said"
    process = forked(*args, *PLAIN, said=said, path=(tmp_path / "site",))
    while not said.exists() or "working" not in said.read_text():
        assert process.is_alive(), "it ended by itself"
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    text = said.read_text()
    assert process.exitcode == 130 and "the same command goes on" in text and "Traceback" not in text


@pytest.mark.process
def test_the_same_command_again_computes_nothing_and_writes_no_report(
    pairs_folder: Path, tmp_path: Path, capsys
) -> None:
    """The second time in a process of its own, which shows what it imports."""
    args = ("eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path / "r")
    assert isrbench(capsys, *args)[0] == 0
    page = tmp_path / "r" / "report" / "index.html"
    written = {path: path.stat().st_mtime_ns for path in [page, *(tmp_path / "r").glob("*/images/*.png")]}
    assert len(written) == 5
    script = (
        "import sys\nfrom isrbench.harness.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'open_clip', 'pyiqa', 'diffusers', 'matplotlib', 'isrbench.reports.report'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    code, out, err = finished(*args, script=script)
    assert code == 0, err
    assert "4 of 4" in out and f"report    {page}" in out
    assert {path: path.stat().st_mtime_ns for path in written} == written
    with Store(tmp_path / "r", create=False) as store:
        assert len(store.manifest(store.run_ids()[0]).invocations) == 1


def test_the_report_follows_when_another_run_was_computed_meanwhile(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path, "--no-complexity")
    args += ("--estimator", "none")
    assert isrbench(capsys, "eval", "--method", "bicubic", *args)[0] == 0
    assert isrbench(capsys, "eval", "--method", "lanczos", *args, "--no-report")[0] == 0
    page = tmp_path / "report" / "index.html"
    before = page.stat().st_mtime_ns
    assert isrbench(capsys, "eval", "--method", "bicubic", *args)[0] == 0
    assert page.stat().st_mtime_ns > before


def test_list_runs_shows_how_far_each_got_in_order_of_use(evaluated: Path, pairs_folder: Path, capsys) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr,ssim", "--runs-dir", evaluated, *PLAIN)
    isrbench(capsys, "eval", "--method", "bicubic", *args, "--limit", "1")
    isrbench(capsys, "eval", "--method", "bicubic", *args)
    _, out, _ = isrbench(capsys, "list", "runs", "--runs-dir", evaluated, "--json")
    assert [row["state"] for row in json.loads(out)] == ["complete, 1 of 4", "complete"]
