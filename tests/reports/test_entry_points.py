"""From a real run to a report and to what is published, through the command line."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from isrbench.harness.errors import UserError
from isrbench.reports.entry_points import publish, write
from tests.support.images import write_pairs


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verb")
    pairs = write_pairs(folder / "small", ["a", "b", "c", "d", "e", "f"])
    common = ["--dataset", str(pairs), "--metrics", "psnr,ssim", "--estimator", "none", "--no-report",
              "--runs-dir", str(folder / "runs")]  # fmt: skip
    for method in ("bicubic", "lanczos"):
        command = [sys.executable, "-m", "isrbench.harness.cli.main", "eval", "--method", method, *common]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    return folder / "runs"


def test_report_of_stored_runs(runs_dir):
    page = write(runs_dir)
    assert page == runs_dir / "report" / "index.html"
    (table,) = (runs_dir / "report/tables").glob("*.csv")
    rows = pd.read_csv(table).set_index(["method", "metric"])
    assert set(rows.index) == {(m, k) for m in ("Bicubic", "Lanczos") for k in ("psnr", "ssim")}
    assert (rows["n"] == 6).all() and rows["mean"].notna().all()
    lanczos = rows.loc[("Lanczos", "psnr")]
    assert lanczos["difference"] == pytest.approx(lanczos["mean"] - rows.loc[("Bicubic", "psnr"), "mean"])
    assert len(list((runs_dir / "report/images").rglob("*.png"))) == 6 * 4, "LR, HR and two methods"


def test_report_of_one_run_elsewhere(runs_dir, tmp_path):
    page = write(runs_dir, ["latest"], tmp_path / "out", strata="blur")
    text = page.read_text(encoding="utf-8")
    assert "Lanczos" in text and "Bicubic" not in text.split('id="data"')[0]
    with pytest.raises(UserError, match="there is no run 'nonesuch'"):
        write(runs_dir, ["nonesuch"], tmp_path / "out")


def test_report_shows_tables_in_the_terminal_and_draws_training(runs_dir, tmp_path):
    curves = tmp_path / "run" / "curves.csv"
    curves.parent.mkdir()
    curves.write_text("step,name,value\n" + "".join(f"{step},loss,{step}\n" for step in range(9)))
    command = [sys.executable, "-m", "isrbench.harness.cli.main", "report", "--runs-dir", str(runs_dir), "--out",
               str(tmp_path / "out"), "--training", str(curves)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Lanczos" in done.stdout and "* = best" in done.stdout and "better / worse than Bicubic" in done.stdout
    assert 'id="training"' in (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert (tmp_path / "out/plots/training/loss.svg").is_file()


def test_the_published_outputs_have_the_published_means(realsr, tmp_path):
    command = [sys.executable, "-m", "isrbench.harness.cli.main", "eval", "--method", "folder", "-o",
               f"images={realsr / 'results_osediff'}", "--dataset", "RealSR", "--data-root", str(realsr.parent),
               "--metrics", "psnr,ssim", "--estimator", "none", "--no-report", "--runs-dir", str(tmp_path)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    write(tmp_path)
    rows = pd.read_csv(tmp_path / "report/tables/realsr.csv").set_index("metric")
    assert round(rows.loc["psnr", "mean"], 4) == 25.1511 and round(rows.loc["ssim", "mean"], 4) == 0.7341


def test_publishing_stored_runs(runs_dir):
    names = [path.name for path in publish(runs_dir)]
    assert names == ["hub-card-bicubic.md", "hub-card-lanczos.md", "references.bib"]
    assert "keys1981cubic" in (runs_dir / "publish/references.bib").read_text(encoding="utf-8")
