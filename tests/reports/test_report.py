"""The report's folder: which files it holds, and what becomes of those of the last report."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from isrbench.harness.errors import UserError
from isrbench.reports.comparison import compare
from isrbench.reports.report import write_report
from tests.support.report_frames import (
    NASTY,
    frames,
    of_methods,
    of_metrics,
    on_dataset,
    with_manifests,
    without_routing,
)


def _written(made, folder: Path, training=(), **options) -> tuple[Path, ...]:
    return write_report(compare(made, **options).sets, folder, training).files


def _titled(made, titles: list[str]):
    named = dict(zip(made.runs["run"], titles, strict=True))
    return with_manifests(made, lambda m: m.model_copy(update={"title": named[m.run]}))


def test_report_writes_every_file_the_same_each_time(tmp_path):
    made = of_metrics(frames(tmp_path / "images", count=9, names=[NASTY]), "psnr", "musiq")
    options = {"baseline": "bicubic", "strata": "level", "reported": True}
    first, again = (_written(made, tmp_path / name, **options) for name in ("a", "b"))
    assert first[0].name == "index.html"
    assert {"sample.md", "sample.tex", "sample.csv", "sample.txt", "sample.routing.csv"} <= {p.name for p in first}
    assert not {"sample.interaction.csv", "sample.agreement.csv"} & {p.name for p in first}, "9 images, a failed one"
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    rows = pd.read_csv(tmp_path / "a/tables/sample.csv")
    assert set(rows["group"]) == {"all", "level mild", "level medium", "level severe"}
    assert {p.suffix for p in first if p.parent.parent.name == "plots"} == {".pdf", ".png", ".svg"}


def test_analyses_are_in_every_table_file_and_have_files_of_their_own(tmp_path):
    made = without_routing(frames(tmp_path / "images", count=12, failed=False))
    compared = compare(made, baseline="bicubic")
    files = {path.name: path for path in write_report(compared.sets, tmp_path / "out").files}
    for name in ("interaction", "agreement"):
        rows = pd.read_csv(files[f"sample.{name}.csv"])
        assert len(rows) == len(compared.analyses[name]) > 0 and set(rows["dataset"]) == {"sample"}
    assert "sample.agreement.tex" in files
    for name in ("sample.md", "overview.tex", "sample.txt"):
        text = files[name].read_text(encoding="utf-8")
        assert "depend on severity?" in text and "do metrics rank the methods alike?" in text
        assert "otherwise than all others" in text
    assert "interaction.png" in files
    few = compare(of_methods(made, "bicubic"))
    assert few.analyses["interaction"].empty and "it takes 3 methods, and there is 1." in few.to_markdown()
    assert r"\paragraph{" in few.to_latex() and "it takes 3 methods" in few.sets[0].to_text()


def test_methods_without_routing_simply_lack_its_plots(tmp_path):
    made = of_metrics(frames(tmp_path / "images", count=12), "psnr")
    files = _written(without_routing(made), tmp_path / "out")
    names = {p.name.partition(".")[0] for p in files if p.parent.parent.name == "plots"}
    assert not any(n.startswith(("experts", "layers", "zero", "dimensions", "scatter")) for n in names)
    assert "severity-psnr" in names and not (tmp_path / "out/tables/sample.routing.csv").exists()


def test_sets_without_severity_or_values_still_report(tmp_path):
    made = of_methods(frames(tmp_path / "images", count=6), "bicubic")
    images = made.images.assign(severity=float("nan"))
    scores = made.scores.assign(value=float("nan"), status="no-reference")
    compare(replace(made, scores=scores, images=images)).to_html(tmp_path / "out")
    assert "no HR" in (tmp_path / "out/tables/sample.md").read_text(encoding="utf-8")


def test_no_two_sets_or_plots_share_a_file(tmp_path):
    made = of_methods(frames(tmp_path / "images", count=4, failed=False), "bicubic", "folder")
    made = _titled(of_metrics(made, "psnr"), ["A+B", "A-B"])
    other = with_manifests(on_dataset(made, "training"), lambda m: m.model_copy(update={"run": f"{m.run}-t"}))
    curves = tmp_path / "curves.csv"
    curves.write_text("step,name,value\n0,loss,1\n1,loss,0\n")
    files = write_report(compare([made, other]).sets, tmp_path / "out", [curves]).files
    assert len(files) == len(set(files))
    assert {path.name for path in (tmp_path / "out/plots").iterdir()} == {"sample", "training", "training-2"}


@pytest.mark.parametrize("titles", [["a $x$ b", "$", "_hidden"], [r"\frac{", "<img onerror=alert(1)>", "Bicubic"]])
def test_titles_are_not_mathematics_and_stay_in_the_legend(tmp_path, titles):
    made = of_metrics(without_routing(frames(tmp_path / "images", count=10, failed=False)), "psnr")
    files = _written(on_dataset(_titled(made, titles), "$set$"), tmp_path / "out", baseline="bicubic")
    assert {"severity-psnr.svg", "severity-psnr.dark.svg"} <= {f.name for f in files}


def test_files_of_the_last_report_go_and_other_files_stay(tmp_path):
    made = of_metrics(of_methods(frames(tmp_path / "images", count=4, failed=False), "bicubic", "folder"), "psnr")
    out = tmp_path / "out"
    first = _written(made, out)
    (out / "mine.txt").write_text("keep")
    second = _written(of_methods(made, "bicubic"), out)
    there = {path for path in out.rglob("*") if path.is_file()}
    assert there == {*second, out / "mine.txt", out / "report-files.json"} and set(first) - set(second)
    assert not [path for path in out.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_a_file_that_no_report_wrote_is_named_and_kept(tmp_path):
    made = of_metrics(of_methods(frames(tmp_path / "images", count=4, failed=False), "bicubic"), "psnr")
    out = tmp_path / "out"
    (out / "tables").mkdir(parents=True)
    mine = [out / "index.html", out / "tables/sample.md"]
    for path in mine:
        path.write_text("mine")
    with pytest.raises(UserError, match=r"index\.html, .*sample\.md are there already") as caught:
        _written(made, out)
    assert "--out" in (caught.value.fix or "")
    assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(mine), "nothing else was written"
    assert {path.read_text() for path in mine} == {"mine"}
    for path in mine:
        path.unlink()
    first = _written(made, out)
    assert _written(made, out) == first and all(path.is_file() for path in first)
    assert not list(out.glob(".*"))


def test_a_report_that_was_stopped_half_way_is_replaced(tmp_path, monkeypatch):
    made, out = of_metrics(of_methods(frames(tmp_path / "images", count=3), "bicubic"), "psnr"), tmp_path / "out"
    move = Path.replace

    def stop(self, target):
        if Path(target).suffix == ".md":
            raise KeyboardInterrupt
        return move(self, target)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", stop)
        _written(made, out)
    assert not (out / "index.html").exists(), "no page rather than one with dead links"
    assert all(path.is_file() for path in _written(made, out)) and not list(out.glob(".*"))


def test_a_full_disk_leaves_the_last_report_as_it_was(tmp_path, monkeypatch):
    made, out = of_metrics(of_methods(frames(tmp_path / "images", count=3), "bicubic"), "psnr"), tmp_path / "out"
    before = {path: path.read_bytes() for path in _written(made, out)}

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, pytest.raises(UserError, match="No space left on device") as caught:
        patched.setattr("shutil.copyfile", full)
        _written(made, out)
    assert (caught.value.fix or "").startswith("make room")
    assert {path: path.read_bytes() for path in before} == before and not list(out.glob(".*"))


@pytest.mark.parametrize("listed", ['[1, "../outside.txt", "/etc/hostname"]', "{}", "no JSON"])
def test_a_strange_list_of_files_removes_nothing_outside(tmp_path, listed):
    made, out = of_methods(frames(tmp_path / "images", count=3), "bicubic"), tmp_path / "out"
    out.mkdir()
    (tmp_path / "outside.txt").write_text("keep")
    (out / "report-files.json").write_text(listed)
    _written(made, out)
    assert (tmp_path / "outside.txt").read_text() == "keep"


def test_a_broken_training_file_stops_the_report_with_one_message(tmp_path):
    made = frames(tmp_path / "images", count=3)
    with pytest.raises(UserError, match=r"nothing\.csv does not exist"):
        _written(made, tmp_path / "out", [tmp_path / "nothing.csv"])
