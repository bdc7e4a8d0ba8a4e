"""The command line over time: the same command again, Ctrl-C, kill -9, and the verbs that read what is stored."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from isrbench.harness.cli.terminal import _amount
from isrbench.harness.store.store import Store
from tests.conftest import picture, write_pairs
from tests.harness.cli.test_cli import evaluated, isrbench  # noqa: F401 - a fixture
from tests.support.paths import ROOT

PLAIN = ("--no-complexity", "--no-report", "--estimator", "none")


def started(*args: object, script: str = "from isrbench.harness.cli.main import main; main()") -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, args)]
    environment = {**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finished(*args: object, script: str = "from isrbench.harness.cli.main import main; main()") -> tuple[int, str, str]:
    process = started(*args, script=script)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def table(runs: Path) -> tuple[list, list]:
    store = Store(runs, create=False)
    try:
        images = [{k: v for k, v in r.items() if k != "seconds"} for r in store.rows("images", store.run_ids())]
        return images, store.rows("scores", store.run_ids())
    finally:
        store.close()


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Sixty pairs: enough to be killed among them."""
    return write_pairs(tmp_path_factory.mktemp("many") / "set", [f"{i:02d}" for i in range(60)])


def test_one_failed_image_of_24_leaves_the_runs_folder_usable(tmp_path: Path, capsys) -> None:
    runs, made = tmp_path / "runs", tmp_path / "made"
    plain = ("--dataset", "sample", "--metrics", "psnr", "--runs-dir", runs, "--no-complexity", "--estimator", "none")
    code, _, _ = isrbench(capsys, "eval", "--method", "bicubic", *plain)
    assert code == 0
    folders = [path / "images" for path in runs.iterdir() if path.name.startswith("bicubic")]
    shutil.copytree(folders[0], made)
    (made / "cup_mild.png").unlink()
    folder = ("eval", "--method", "folder", "-o", f"images={made}", *plain)
    code, out, err = isrbench(capsys, *folder)
    assert code == 1, err
    assert "23 of 24 images restored" in out
    code, _, err = isrbench(capsys, "report", "--runs-dir", runs, "--out", tmp_path / "report")
    assert code == 0, err
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "cup_mild" in page and "holds no cup_mild.png" in page
    target = tmp_path / "images.csv"
    code, _, err = isrbench(capsys, "export", "--table", "images", "--to", target, "--runs-dir", runs)
    assert code == 0, err
    rows = pd.read_csv(target)
    assert len(rows) == 48
    assert list(rows[rows["status"] == "failed"]["image"]) == ["cup_mild"]
    assert list(rows[rows["output_path"].isna()]["image"]) == ["cup_mild"]
    # A healthy method in the same folder, and the repaired one, go on as if nothing had been.
    assert isrbench(capsys, "eval", "--method", "lanczos", *plain)[0] == 0
    shutil.copy(folders[0] / "cup_mild.png", made)
    code, out, _ = isrbench(capsys, *folder)
    assert code == 0 and "24 of 24 images restored" in out


@pytest.fixture(scope="module")
def untouched(many: Path, tmp_path_factory) -> tuple[list, list]:
    runs = tmp_path_factory.mktemp("untouched")
    command = ("eval", "--method", "bicubic", "--dataset", many, "--metrics", "psnr", "--runs-dir", runs, *PLAIN)
    assert finished(*command)[0] == 0
    return table(runs)


@pytest.mark.parametrize("after", [0, 1, 20, 45])
def test_killed_after_so_many_images_the_next_run_gives_the_same_table(
    after: int, many: Path, untouched: tuple[list, list], tmp_path: Path, capsys
) -> None:
    runs = tmp_path / "runs"
    command = ("eval", "--method", "bicubic", "--dataset", many, "--metrics", "psnr", "--runs-dir", runs, *PLAIN)
    process = started(*command)
    while process.poll() is None and (not runs.exists() or len([*runs.glob("*/images/[0-9]*.png")]) < after):
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert len([*runs.glob("*/images/[0-9]*.png")]) < 60
    code, out, _ = isrbench(capsys, *command)
    assert code == 0 and "60 of 60" in out
    assert table(runs) == untouched
    assert not [*runs.glob("*/images/.*.part")], "what the killed process left half written is in the way of nobody"


@pytest.mark.parametrize("how", ["restore", "score"])
def test_ctrl_c_says_that_everything_is_kept(how: str, pairs_folder: Path, tmp_path: Path) -> None:
    module, name = {
        "restore": ("isrbench.harness.engine.jobs", "restore_one"),
        "score": ("isrbench.harness.metrics.scorer", "_read"),
    }[how]
    script = (
        # Where the tests run in the background of a shell, Ctrl-C is ignored unless asked for.
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"import time, sys, {module} as m\nkept = m.{name}\n"
        f"def slow(*a):\n    print('working', file=sys.stderr, flush=True)\n    time.sleep(1)\n    return kept(*a)\n"
        f"m.{name} = slow\nfrom isrbench.harness.cli.main import main\nmain()\n"
    )
    args = ("eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path / "r")
    process = started(*args, *PLAIN, script=script)
    assert process.stderr is not None
    while "working" not in (line := process.stderr.readline()):
        assert line, "it ended by itself"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in err and "Traceback" not in err


def test_the_same_command_again_loads_nothing_and_writes_no_report(pairs_folder: Path, tmp_path: Path) -> None:
    args = ("eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path / "r")
    assert finished(*args)[0] == 0
    page = tmp_path / "r" / "report" / "index.html"
    before = page.stat().st_mtime_ns
    script = (
        "import sys\nfrom isrbench.harness.cli.main import main\nimport isrbench.harness.engine.jobs\n"
        "import isrbench.harness.metrics.scorer\n"
        "def fail(*a, **k):\n    raise SystemExit('computed again')\n"
        "isrbench.harness.engine.jobs.restore_one = isrbench.harness.metrics.scorer.Scorer.score = fail\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'open_clip', 'pyiqa', 'diffusers', 'matplotlib', 'isrbench.reports.report'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    code, out, err = finished(*args, script=script)
    assert code == 0, err
    assert "4 of 4" in out and f"report    {page}" in out and page.stat().st_mtime_ns == before


def test_the_report_follows_when_another_run_was_computed_meanwhile(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", tmp_path, "--no-complexity")
    args += ("--estimator", "none")
    assert isrbench(capsys, "eval", "--method", "bicubic", *args)[0] == 0
    assert isrbench(capsys, "eval", "--method", "lanczos", *args, "--no-report")[0] == 0
    page = tmp_path / "report" / "index.html"
    before = page.stat().st_mtime_ns
    assert isrbench(capsys, "eval", "--method", "bicubic", *args)[0] == 0
    assert page.stat().st_mtime_ns > before


def test_json_holds_reasons_and_places_and_nothing_is_left_on_stderr(pairs_folder: Path, tmp_path: Path) -> None:
    args = ("--dataset", pairs_folder, "--metrics", "psnr,lpips", "--runs-dir", tmp_path / "r", *PLAIN)
    os.environ["TORCH_HOME"], kept = str(tmp_path), os.environ.get("TORCH_HOME")
    try:
        for _ in range(2):
            code, out, err = finished("eval", "--method", "bicubic", *args, "--json")
            summary = json.loads(out)
            assert code == 0 and err == "", err
            assert "isrbench fetch weights --metric lpips" in summary["metrics"][1]["fix"]
            assert all(Path(place).exists() for place in summary["places"].values()) and len(summary["places"]) == 3
        code, out, err = finished("eval", "--method", "bicubic", *args)
        assert code == 0 and err == "" and "isrbench fetch weights --metric lpips" in out
    finally:
        del os.environ["TORCH_HOME"]
        if kept:
            os.environ["TORCH_HOME"] = kept


def test_a_failed_metric_names_the_image_and_the_reason(tmp_path: Path, capsys) -> None:
    folder = write_pairs(tmp_path / "set", ["a"], lr=2)
    args = ("--dataset", folder, "--metrics", "ssim", "--runs-dir", tmp_path / "r", *PLAIN)
    code, out, err = isrbench(capsys, "eval", "--method", "bicubic", *args)
    assert code == 1 and "failed ssim of a: SSIM needs sides of at least 11 pixels, not 8x8" in out
    assert "Traceback" not in out + err


def test_emoji_codes_and_small_numbers(tmp_path: Path, capsys) -> None:
    Image.fromarray(picture(0, 8, 8)).save(tmp_path / ":smile:.png")
    code, out, _ = isrbench(
        capsys, "restore", tmp_path / ":smile:.png", tmp_path / "x :smile:.png", "--method", "bicubic"
    )
    assert code == 0 and "x :smile:.png" in out
    assert [_amount(n, "MACs") for n in (983_040, 4_200_000_000, 999)] == ["0.98 MMACs", "4.20 GMACs", "999 MACs"]


def test_list_runs_shows_how_far_each_got_in_order_of_use(evaluated: Path, pairs_folder: Path, capsys) -> None:  # noqa: F811
    args = ("--dataset", pairs_folder, "--metrics", "psnr,ssim", "--runs-dir", evaluated, *PLAIN)
    isrbench(capsys, "eval", "--method", "bicubic", *args, "--limit", "1")
    isrbench(capsys, "eval", "--method", "bicubic", *args)
    _, out, _ = isrbench(capsys, "list", "runs", "--runs-dir", evaluated, "--json")
    assert [row["state"] for row in json.loads(out)] == ["complete, --limit 1", "complete"]


def test_a_run_folder_is_read_from_its_own_store(evaluated: Path, tmp_path: Path, capsys, monkeypatch) -> None:  # noqa: F811
    folder = next(p for p in evaluated.iterdir() if p.is_dir())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for more in ([], ["--runs-dir", tmp_path / "wrong"]):
        assert isrbench(capsys, "export", folder, "--to", "a.csv", *more)[0] == 0
        assert isrbench(capsys, "report", folder, "--out", "report", *more)[0] == 0
    assert len(pd.read_csv("a.csv")) == 8


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--to", "nodir/x.csv"], "there is no folder nodir"),
        (["--to", "file", "--hub-card"], "is a file"),
        (["--to", "file/card", "--hub-card"], "cannot be written"),
    ],
)
def test_places_that_cannot_be_exported_to(more, words, evaluated, tmp_path, capsys, monkeypatch) -> None:  # noqa: F811
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    code, _, err = isrbench(capsys, "export", "latest", *more, "--runs-dir", evaluated)
    assert code == 2 and words in err and "None" not in err and "Traceback" not in err


def test_json_lines_keep_every_digit(evaluated: Path, tmp_path: Path, capsys) -> None:  # noqa: F811
    isrbench(capsys, "export", "latest", "--to", tmp_path / "x.jsonl", "--runs-dir", evaluated)
    rows = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    stored = table(evaluated)[1]
    assert [row["value"] for row in rows] == [row["value"] for row in stored]
    assert rows[0]["error"] is None


@pytest.mark.parametrize("scale", ["0", "-2"])
def test_restoring_to_an_impossible_scale(scale: str, tmp_path: Path, capsys) -> None:
    Image.fromarray(picture(0, 8, 8)).save(tmp_path / "a.png")
    args = ("restore", tmp_path / "a.png", tmp_path / "b.png", "--method", "bicubic", "--scale", scale)
    code, _, err = isrbench(capsys, *args)
    assert code == 2 and f"--scale {scale}: at least 1" in err and "Traceback" not in err


@pytest.mark.parametrize("error", ["full", "place"])
def test_restoring_to_a_place_that_takes_nothing_stops_at_once(error: str, tmp_path: Path, capsys, monkeypatch) -> None:
    import errno

    from isrbench.harness.engine import restore_files as restore

    (tmp_path / "in").mkdir()
    for name in "ab":
        Image.fromarray(picture(0, 8, 8)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "file").write_text("")
    tries = []

    def full(path: Path, pixels: object) -> None:
        tries.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if error == "full":
        monkeypatch.setattr(restore, "write_png", full)
    target = tmp_path / ("out" if error == "full" else "file/out")
    code, _, err = isrbench(capsys, "restore", tmp_path / "in", target, "--method", "bicubic")
    assert code == 2 and "Traceback" not in err and err.count("cannot be written") == 1 and len(tries) < 2


def test_help_of_training(capsys) -> None:
    code, out, _ = finished("train", "--help")
    assert code == 0 and "--method" in out
    code, out, _ = finished("train", "--method", "mor", "--help")
    assert code == 0 and "--preset" in out
    code, _, err = finished("train")
    assert code == 2 and "needs a method" in err


def test_training_shows_its_progress_and_noisy_libraries_stay_silent(monkeypatch) -> None:
    import logging

    from isrbench.harness.cli.terminal import show_logs

    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    try:
        show_logs(True)
        assert logging.getLogger("isrbench.methods.onestep.train.run").isEnabledFor(logging.INFO)
        assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)
        show_logs(False)
        assert not logging.getLogger("isrbench.methods.onestep.train.run").isEnabledFor(logging.INFO)
    finally:
        root.handlers[:] = handlers


@pytest.mark.parametrize("verb", [[], ["eval"], ["export"], ["report"], ["restore"], ["train"], ["list"]])
def test_examples_in_help_are_whole_lines(verb: list[str]) -> None:
    _, out, _ = finished(*verb, "--help")
    examples = re.findall(r"`(isrbench [^`]*)`", out)
    assert examples and all("\n" not in example for example in examples), examples


def test_looking_around_imports_little() -> None:
    script = (
        "import sys\nfrom isrbench.harness.cli.main import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'pydantic', 'numpy', 'pandas', 'PIL') if m in sys.modules], file=sys.stderr)\n"
    )
    assert finished("--help", script=script)[2] == "[]\n"
    for kind in ("methods", "datasets", "metrics"):
        heavy = finished("list", kind, script=script)[2]
        # typer itself takes pydantic to read a verb's arguments
        assert not any(f"'{m}'" in heavy for m in ("torch", "numpy", "pandas", "PIL")), (kind, heavy)
