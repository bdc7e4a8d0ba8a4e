"""The comparison that Python users and the command line share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd
import pytest

from isrbench.harness.api.layout import Layout
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import compare, merge_frames
from tests.support.report_frames import (
    begun,
    frames,
    of_images,
    of_methods,
    of_metrics,
    on_dataset,
    part_of,
    with_manifests,
)

TWO = ["scene_000", "scene_001"]


@dataclass(frozen=True)
class Run:
    """What a user holds."""

    rows: Frames

    def frames(self) -> Frames:
        return self.rows


def test_runs_and_frames_compare_alike(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    runs = [Run(of_methods(made, method)) for method in ("mor", "bicubic", "folder")]
    expected = compare(made).table
    pd.testing.assert_frame_equal(compare(runs).table, expected)
    pd.testing.assert_frame_equal(compare(Run(made)).table, expected)
    pd.testing.assert_frame_equal(compare(run for run in [made, *runs]).table, expected)


def test_the_table_holds_all_numbers_and_the_tables_hold_means(tmp_path):
    made = frames(tmp_path, count=12, failed=False)
    found = compare(made, baseline="folder", strata="level")
    table = found.table.set_index(["group", "method", "metric"])
    assert set(found.table["group"]) == {"all", "level mild", "level medium", "level severe"}
    cell = table.loc[("all", "Bicubic", "psnr")]
    assert cell["baseline"] == "OSEDiff PNGs" and cell["n"] == 12
    assert cell["low"] < cell["mean"] < cell["high"] and 0 <= cell["p"] <= cell["p_holm"] <= 1
    assert list(found.tables) == ["sample", "sample, level mild", "sample, level medium", "sample, level severe"]
    means = found.tables["sample"]
    assert means.loc["Bicubic", "psnr"] == cell["mean"] and list(means.columns) == ["psnr", "ssim", "lpips", "musiq"]


def test_strata_of_hr_severity_take_it_from_any_run_and_are_refused_without_it(tmp_path):
    made = frames(tmp_path, count=12, failed=False)
    with pytest.raises(UserError, match="no run here has severities of its HR images") as caught:
        compare(made, strata="hr-severity")
    assert "--hr-severity" in (caught.value.fix or "")
    own = made.images["method"] == "mor"  # one run was asked for it, and it holds for all
    images = made.images.assign(hr_severity=made.images["severity"].where(own))
    found = compare(replace(made, images=images), strata="hr-severity:quantile:2")
    low, high = found.sets[0].strata
    assert (low.name, high.name) == ("HR severity low", "HR severity high") and len(low.images) == len(high.images) == 6


def test_a_blank_mean_is_missing_and_says_why(tmp_path):
    found = compare(frames(tmp_path, count=6))
    assert found.tables["sample"].loc["OSEDiff PNGs"].isna().all()
    row = found.table.query("group == 'all' and method == 'OSEDiff PNGs' and metric == 'psnr'").iloc[0]
    assert pd.isna(row["mean"]) and row["reason"] == "1 of 6: failed"


def test_python_and_files_say_the_same(tmp_path):
    found = compare(of_methods(frames(tmp_path / "images", count=6), "bicubic", "folder"), reported=True)
    page = found.to_html(tmp_path / "out")
    assert page == tmp_path / "out" / "index.html"
    tables = tmp_path / "out/tables"
    assert (tables / "sample.md").read_text(encoding="utf-8") == found.to_markdown()
    tex = (tables / "sample.tex").read_text(encoding="utf-8")
    bare = "".join(line for line in tex.splitlines(keepends=True) if not line.startswith("% "))
    assert bare.strip().removesuffix("%") in found.to_latex()
    assert (tables / "sample.csv").read_text(encoding="utf-8") == found.table.to_csv(index=False)
    assert (tables / "sample.txt").read_text(encoding="utf-8").startswith(found.to_text())


def test_figures_are_those_of_the_report(tmp_path):
    found = compare(of_metrics(of_methods(frames(tmp_path / "images", count=10), "bicubic", "folder"), "psnr"))
    plots = found.figures(tmp_path / "figures")
    found.to_html(tmp_path / "out")
    assert plots and all(file.parent.name == "sample" for plot in plots for file in plot.files)
    for file in (file for plot in plots for file in plot.files):
        assert file.read_bytes() == (tmp_path / "out/plots/sample" / file.name).read_bytes()


def test_several_sets_are_in_one_document(tmp_path):
    made = frames(tmp_path, count=4)
    other = with_manifests(on_dataset(made, "other"), lambda m: m.model_copy(update={"run": f"{m.run}-o"}))
    found = compare([made, other])
    methods = "Bicubic, MoR-SR (tiny), OSEDiff PNGs"
    assert repr(found) == f"Comparison(other: {methods}; sample: {methods})"
    assert set(found.table["dataset"]) == {"other", "sample"}
    text = found.to_markdown()
    assert text.count("### How each metric is defined") == 1
    assert text.index("### other\n") < text.index("### sample\n")


def test_part_of_a_set_is_called_so_everywhere_and_papers_stay_out(tmp_path):
    made = of_methods(frames(tmp_path / "images", count=10, failed=False), "bicubic", "folder")
    made = on_dataset(of_metrics(made, "psnr"), "RealSR", whole=100, limit=10)
    found = compare(made, reported=True)
    label = "RealSR, 10 of 100 images"
    page = found.to_html(tmp_path / "out")
    assert next(iter(found.tables)) == label and set(found.table["dataset"]) == {label}
    assert f"<h1>{label}</h1>" in page.read_text(encoding="utf-8")
    (compared,) = found.sets
    assert all(table.title.startswith(label) and table.caption.startswith(label) for table in compared.tables)
    assert all(not table.reported for table in compared.tables)
    assert any("what papers report of RealSR" in note and "whole set" in note for note in compared.tables[0].notes)
    names = {path.relative_to(tmp_path / "out").parts[1] for path in (tmp_path / "out").rglob("*.png")}
    assert names == {"realsr-10-of-100-images"}
    whole = compare(on_dataset(made, "RealSR", whole=10), reported=True)
    assert whole.sets[0].tables[0].reported and next(iter(whole.tables)) == "RealSR"


def test_figures_of_a_part_say_so_in_their_title(tmp_path):
    made = of_methods(frames(tmp_path / "images", count=10, failed=False), "bicubic", "folder")
    made = on_dataset(of_metrics(made, "psnr"), "RealSR", whole=100, limit=10)
    titled = Layout(titles=True)
    plots = compare(made, layout=titled).figures(tmp_path)
    drawn = {file.stem for plot in plots for file in plot.files if file.suffix == ".png"}
    whole = compare(on_dataset(made, "RealSR", whole=10), layout=titled).figures(tmp_path)
    assert drawn == {file.stem for plot in whole for file in plot.files if file.suffix == ".png"}
    for one, other in zip(plots, whole, strict=True):
        assert one.files[1].parent != other.files[1].parent
        assert one.files[1].read_bytes() != other.files[1].read_bytes(), "the title is drawn"


def test_common_compares_whole_and_part_on_what_they_share(tmp_path):
    made = begun(part_of(frames(tmp_path, count=6, failed=False), "folder", TWO, whole=6), "2999-01-01T00:00:00+00:00")
    apart, shared = compare(made), compare(made, common=True)
    assert [s.aligned.title for s in apart.sets] == ["sample", "sample, 2 of 6 images"]
    assert next(iter(shared.tables)) == "sample, on the 2 of 6 images that all runs share"
    assert shared.sets[0].tables[0].caption.startswith("sample, on the 2 of 6 images that all runs share: means over 2")
    mine = made.scores.query("method == 'bicubic' and metric == 'psnr' and image in @TWO")["value"]
    assert shared.tables["sample, on the 2 of 6 images that all runs share"].loc["Bicubic", "psnr"] == mine.mean()
    assert list(shared.sets[0].aligned.labels) == ["Bicubic", "MoR-SR (tiny)", "OSEDiff PNGs"]


def test_the_baseline_is_an_id_a_label_or_a_run(tmp_path):
    made = frames(tmp_path, count=4)
    for name in ("folder", "OSEDiff PNGs", "folder-sample-00000001"):
        assert compare(made, baseline=name).sets[0].baseline == "OSEDiff PNGs"
    assert compare(made).sets[0].baseline == "Bicubic"
    assert compare(of_methods(made, "mor")).sets[0].baseline is None


def test_mistakes_are_clear(tmp_path):
    made = frames(tmp_path / "images", count=4)
    with pytest.raises(UserError, match="unknown baseline 'bicubc'; did you mean 'bicubic'"):
        compare(made, baseline="bicubc")
    with pytest.raises(UserError, match="not a way to group"):
        compare(made, strata="nonsense")
    for nothing in ([], Frames(made.runs.head(0), made.scores, made.images, made.routing)):
        with pytest.raises(UserError, match="no run to compare"):
            compare(nothing)
    with pytest.raises(TypeError, match="load_runs"):
        compare("runs")
    (tmp_path / "file").write_text("")
    for write in (compare(made).to_html, compare(made).figures):
        with pytest.raises(UserError, match="cannot write"):
            write(tmp_path / "file" / "out")


def test_of_a_run_that_comes_twice_the_fuller_part_counts(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    cut = of_images(made, "folder", TWO)
    merged = merge_frames([cut, made])
    assert len(merged.runs) == 3 and len(merged.scores) == len(made.scores) and len(merged.images) == len(made.images)
    assert len(merged.routing) == len(made.routing)
    other = with_manifests(made, lambda m: m.model_copy(update={"identity": "other"}))
    with pytest.raises(UserError, match="two different runs are called bicubic-sample-00000000"):
        merge_frames([made, other])
