"""From real runs to a report and to what is published."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import isrbench
from isrbench.reports.entry_points import publish, write
from tests.support import cli
from tests.support.images import write_pairs

NAMES = ["a", "b", "c", "d", "e", "f"]
PLAIN = {"metrics": ["psnr", "ssim"], "estimator": "none", "complexity": False}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("set") / "small", NAMES)


@pytest.fixture(scope="module")
def runs_dir(pairs, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("verb") / "runs"
    for method in ("bicubic", "lanczos"):
        isrbench.evaluate(method, pairs, runs_dir=folder, **PLAIN)
    return folder


def test_report_of_stored_runs(runs_dir):
    page = write(runs_dir=runs_dir)
    assert page == runs_dir / "report" / "index.html"
    (table,) = (runs_dir / "report/tables").glob("*.csv")
    rows = pd.read_csv(table).set_index(["method", "metric"])
    assert set(rows.index) == {(m, k) for m in ("Bicubic", "Lanczos") for k in ("psnr", "ssim")}
    assert (rows["n"] == 6).all() and rows["mean"].notna().all()
    lanczos = rows.loc[("Lanczos", "psnr")]
    assert lanczos["difference"] == pytest.approx(lanczos["mean"] - rows.loc[("Bicubic", "psnr"), "mean"])
    assert len(list((runs_dir / "report/images").rglob("*.png"))) == 6 * 4, "LR, HR and two methods"


def test_python_and_the_entry_point_write_the_same_bytes(runs_dir, tmp_path):
    write(runs_dir=runs_dir, out=tmp_path / "one")
    isrbench.compare(isrbench.load_runs(runs_dir)).to_html(tmp_path / "two")
    one, two = tmp_path / "one", tmp_path / "two"
    files = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    assert files == {path.relative_to(two) for path in two.rglob("*") if path.is_file()}
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


@pytest.mark.parametrize("name", ["index.html", "tables/small.md", "plots/../index.html"])
def test_the_markdown_page_takes_no_place_of_the_reports_files(runs_dir, tmp_path, name):
    with pytest.raises(isrbench.UserError, match="would take the place of a file of the report") as caught:
        write(runs_dir=runs_dir, out=tmp_path / "out", markdown=tmp_path / "out" / name)
    assert caught.value.fix == f"--markdown {tmp_path / 'out' / 'results.md'}" and not (tmp_path / "out").exists()


def test_report_of_one_run_elsewhere(runs_dir, tmp_path):
    page = write(runs_dir=runs_dir, runs=["latest"], out=tmp_path / "out", strata="blur")
    text = page.read_text(encoding="utf-8")
    assert "Lanczos" in text and "Bicubic" not in text.split('id="data"')[0]
    with pytest.raises(isrbench.UserError, match="unknown run 'nonesuch'"):
        write(runs_dir=runs_dir, runs=["nonesuch"], out=tmp_path / "out")


def test_runs_of_two_folders_stand_side_by_side(runs_dir, pairs, tmp_path):
    other = isrbench.evaluate("bicubic", pairs, runs_dir=tmp_path / "runs", name="Mine", **PLAIN)
    lanczos = next(folder for folder in runs_dir.iterdir() if folder.name.startswith("lanczos"))
    said: list[str] = []
    write(runs_dir=runs_dir, runs=[str(other.folder), str(lanczos)], out=tmp_path / "out", show=said.append)
    assert "Mine" in said[0] and "Lanczos" in said[0] and "Bicubic" not in said[0]


def test_a_part_of_a_set_is_named_compared_on_request_and_not_published(runs_dir, pairs, tmp_path, caplog):
    part = isrbench.evaluate("lanczos", pairs, limit=2, runs_dir=tmp_path / "runs", **PLAIN)
    bicubic = next(folder for folder in runs_dir.iterdir() if folder.name.startswith("bicubic"))
    runs = [str(part.folder), str(bicubic)]
    said: list[str] = []
    for common in (False, True):
        write(runs_dir=runs_dir, runs=runs, out=tmp_path / "out", common=common, show=said.append)
    dataset = part.manifest.dataset.id
    assert f"{dataset}, 2 of 6 images (n = 2)" in said[0] and f"{dataset} (n = 6)" in said[0]
    assert said[1].startswith(f"{dataset}, on the 2 of 6 images that all runs share (n = 2)")
    assert "Lanczos" in said[1] and "Bicubic" in said[1] and "–" not in said[1]
    names = [path.name for path in publish(runs_dir=runs_dir, runs=runs, out=tmp_path / "publish")]
    assert names == ["hub-card-bicubic.md", "references.bib"] and "2 of 6 images" in caplog.text
    with pytest.raises(isrbench.UserError, match="no run here can be published"):
        publish(runs_dir=tmp_path / "runs", out=tmp_path / "nothing")


def test_a_failed_image_of_a_real_run_keeps_its_parts(pairs, tmp_path):
    restored = isrbench.evaluate("bicubic", pairs, runs_dir=tmp_path / "first", **PLAIN).folder / "images"
    files = sorted(restored.rglob("*.png"))
    files[0].write_bytes(b"not a PNG")
    run = isrbench.evaluate("folder", pairs, options={"images": files[0].parent}, runs_dir=tmp_path / "runs", **PLAIN)
    assert run.failed == 1
    (failed,) = isrbench.compare(run).sets[0].aligned.failed
    assert failed.failure.message and "Traceback" not in failed.failure.message
    text = write(runs_dir=tmp_path / "runs").read_text(encoding="utf-8")
    assert "1 failed image<" in text and "1 of 6: failed" in text


def test_report_shows_tables_in_the_terminal_and_draws_training(runs_dir, tmp_path, capsys):
    curves = tmp_path / "run" / "curves.csv"
    curves.parent.mkdir()
    curves.write_text("step,name,value\n" + "".join(f"{step},loss,{step}\n" for step in range(9)))
    out = tmp_path / "out"
    code, said, err = cli.isrbench(capsys, "report", "--runs-dir", runs_dir, "--out", out, "--training", curves)
    assert code == 0, err
    assert "Lanczos" in said and "* = best" in said and "better / worse than Bicubic" in said
    assert 'id="training"' in (out / "index.html").read_text(encoding="utf-8")
    assert (out / "plots/training/loss.svg").is_file()


def test_publishing_stored_runs(runs_dir):
    names = [path.name for path in publish(runs_dir=runs_dir)]
    assert names == ["hub-card-bicubic.md", "hub-card-lanczos.md", "references.bib"]
    assert "keys1981cubic" in (runs_dir / "publish/references.bib").read_text(encoding="utf-8")
