"""Which runs stand side by side, which numbers are compared, and what is left out with a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import views
from isrbench.reports.figures.pareto import comparable
from isrbench.reports.figures.training import training_curves
from isrbench.reports.names import slug, unique_slugs
from isrbench.reports.report import build_report
from isrbench.reports.statistics import compare, signed_rank_sum
from isrbench.reports.strata import Rule, parse_rule, strata
from isrbench.reports.tables.table import as_csv
from tests.support.report_frames import frames


def _sets(made: Frames, sets: dict[str, tuple[str, int | None]], created: str = "2999-01-01T00:00:00+00:00") -> Frames:
    """Return each method's manifest a set's (content hash, limit)."""
    runs = made.runs.assign(created=created)
    runs["manifest"] = [
        {**m, "dataset": {"content_hash": sets[method][0], "limit": sets[method][1]}}
        for m, method in zip(runs["manifest"], runs["method"], strict=True)
    ]
    return replace(made, runs=runs)


def _cut(made: Frames, method: str, keep: list[str]) -> Frames:
    def part(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[(rows["method"] != method) | rows["image"].isin(keep)]

    return replace(made, images=part(made.images), scores=part(made.scores))


def test_other_pictures_of_equal_names_are_never_paired(tmp_path):
    made = frames(tmp_path, count=4, failed=False)
    one, other = views(
        _sets(made, {"bicubic": ("a" * 64, None), "folder": ("b" * 64, None), "mor-tiny": ("a" * 64, None)})
    )
    assert (one.title, one.labels) == ("sample (pictures aaaaaa)", ("Bicubic", "MoR-SR tiny"))
    assert (other.title, other.labels) == ("sample (pictures bbbbbb)", ("OSEDiff PNGs",))


@pytest.mark.parametrize("how", ["same files", "changed since", "elsewhere"])
def test_a_limited_run_joins_its_set_only_while_the_files_are_the_same(tmp_path, how):
    made = _cut(frames(tmp_path, count=6, failed=False), "folder", ["scene_000", "scene_001"])
    created = "2000-01-01T00:00:00+00:00" if how == "changed since" else "2999-01-01T00:00:00+00:00"
    made = _sets(made, {"bicubic": ("a", None), "folder": ("b", 2), "mor-tiny": ("a", None)}, created)
    if how == "elsewhere":
        images = made.images.copy()
        images.loc[images["method"] == "folder", "lr_path"] = str(tmp_path / "m1-0.png")
        made = replace(made, images=images)
    found = views(made)
    assert len(found) == (1 if how == "same files" else 2)
    if how == "same files":
        cell = compare(found[0], list(found[0].images.index), None)["OSEDiff PNGs", "psnr"]
        assert cell.reason == "4 of 6: not in the run"


def test_severities_come_from_one_estimator_and_whole(tmp_path):
    made = frames(tmp_path, count=6, failed=False)
    images, runs = made.images.copy(), made.runs.assign(estimator=["none", "A", "B"])
    images.loc[images["method"] == "bicubic", "severity"] = np.nan
    images.loc[images["method"] == "folder", ["severity", "blur"]] = 0.01
    images.loc[(images["method"] == "folder") & (images["image"] == "scene_000"), "severity"] = np.nan
    view = views(replace(made, images=images, runs=runs))[0]
    own = made.images[made.images["method"] == "mor-tiny"].set_index("image")
    assert view.estimator == "B"
    assert (view.images["severity"] == own["severity"]).all() and (view.images["blur"] == own["blur"]).all()
    assert any("severities are those of B; A gave others for OSEDiff PNGs" in note for note in view.notes)


def test_a_sign_needs_mean_and_ranks_to_agree(tmp_path):
    made = frames(tmp_path, count=30, failed=False)
    scores = made.scores.set_index(["method", "image", "metric"]).sort_index()
    shift = np.full(30, -0.1) - np.arange(30) / 1000
    shift[0] = 10  # one image lifts the mean above the baseline; 29 of 30 are worse
    for image, by in zip(sorted(made.images["image"].unique()), shift, strict=True):
        scores.loc[("folder", image, "psnr"), "value"] = scores.loc[("bicubic", image, "psnr"), "value"] + by
    view = views(replace(made, scores=scores.reset_index()))[0]
    cell = compare(view, list(view.images.index), "Bicubic")["OSEDiff PNGs", "psnr"]
    assert cell.p_holm < 0.05 and cell.difference > 0 > cell.signed_rank and cell.better is None
    assert signed_rank_sum(np.array([0.0, 1.0, -3.0, 2.0])) == 1 - 3 + 2


def _with_fid(made: Frames) -> Frames:
    values = {"bicubic": 80.0, "folder": 60.0, "mor-tiny": 70.0}
    rows = [
        {"run": run, "method": method, "dataset": "sample", "image": "", "metric": "fid", "value": values[method],
         "status": "ok", "error": None}
        for run, method in zip(made.runs["run"], made.runs["method"], strict=True)
    ]  # fmt: skip
    return replace(made, scores=pd.concat([made.scores, pd.DataFrame(rows)], ignore_index=True))


def test_fid_is_blank_unless_every_image_is_there(tmp_path):
    made = _with_fid(frames(tmp_path, count=6, failed=False))
    view = views(made)[0]
    cells = compare(view, list(view.images.index), "Bicubic")
    assert [cells[label, "fid"].rank for label in ("Bicubic", "OSEDiff PNGs", "MoR-SR tiny")] == [3, 1, 2]
    assert cells["Bicubic", "fid"].low is None and cells["MoR-SR tiny", "fid"].p is None
    part = compare(view, ["scene_000"], None)["Bicubic", "fid"]
    assert part.mean is None and part.reason == "defined for the whole set only"
    cut = views(_cut(made, "folder", ["", "scene_000"]))[0]
    cell = compare(cut, list(cut.images.index), None)["OSEDiff PNGs", "fid"]
    assert (cell.mean, cell.rank, cell.reason) == (None, None, "5 of 6: not in the run")
    failed = views(_with_fid(frames(tmp_path, count=6)))[0]
    assert compare(failed, list(failed.images.index), None)["OSEDiff PNGs", "fid"].reason == "1 of 6: failed"


def test_equal_severities_are_one_group_and_edges_say_where_groups_meet(tmp_path):
    images = views(frames(tmp_path, count=30, failed=False))[0].images
    (alone,) = strata(images.assign(severity=0.02), Rule("severity"))
    assert (alone.name, alone.bounds) == ("severity all", "[0, 1]")
    mostly = strata(images.assign(severity=[0.0] * 20 + list(np.linspace(0.1, 1, 10))), Rule("severity"))
    assert [g.name for g in mostly] == ["severity low", "severity high"]
    close = strata(images.assign(severity=0.5 + np.arange(30) / 10_000), Rule("severity"))
    assert [g.bounds for g in close] == ["[0, 0.501)", "[0.501, 0.502)", "[0.502, 1]"]
    for group in close:
        assert len(group.images) == 10
    outside = strata(images, parse_rule("edges:0.98,0.99"))
    assert [(g.name, g.bounds) for g in outside] == [("severity all", "[0, 0.98)")]


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        (["0.8", "0.2", "0.5"], ["0.2", "0.5", "0.8"]),
        (["10", "9", "100"], ["9", "10", "100"]),
        (["severe", "mild", "medium"], ["mild", "medium", "severe"]),
        (["b", "0.5", "mild"], ["mild", "0.5", "b"]),
    ],
)
def test_levels_come_in_their_order(levels, order):
    images = pd.DataFrame({"level": levels}, index=["x", "y", "z"])
    assert [g.name for g in strata(images, Rule("level"))] == [f"level {level}" for level in order]


def test_only_latencies_measured_alike_are_compared(tmp_path):
    view = views(frames(tmp_path, count=4))[0]
    runs = view.runs.assign(latency_ms=[1.0, 2.0, 3.0], complexity_size="16x16", device=["cpu", "cuda", "cpu"])
    chosen, condition, others = comparable(replace(view, runs=runs), list(view.labels), "latency_ms")
    assert (chosen, condition) == (["Bicubic", "OSEDiff PNGs"], "LR 16x16, cpu")
    assert others == ["MoR-SR tiny (LR 16x16, cuda)"]
    assert len(comparable(replace(view, runs=runs), list(view.labels), "macs")[0]) == 3


def test_slugs_are_numbered_where_they_meet(tmp_path):
    assert unique_slugs(["A+B", "A-B", "a b 2", "東京", "京都"]) == {
        "A+B": "a-b", "A-B": "a-b-2", "a b 2": "a-b-2-2", "東京": "x", "京都": "x-2"
    }  # fmt: skip
    assert slug("") == "x"
    made = frames(tmp_path / "pictures", count=10, failed=False)
    runs = made.runs.assign(title=["A+B", "A-B", "Bicubic"])
    files = build_report(replace(made, runs=runs), tmp_path / "out").files
    assert len(files) == len(set(files))


def test_colours_stay_with_a_method_from_set_to_set(tmp_path):
    made = frames(tmp_path, count=4)
    parts = []
    for dataset, methods in (("one", ["bicubic", "folder", "mor-tiny"]), ("two", ["mor-tiny"])):
        cut = [part[part["method"].isin(methods)].assign(dataset=dataset) for part in vars(made).values()]
        parts.append(Frames(*(part.assign(run=part["run"] + dataset) for part in cut)))
    one, two = views(Frames(*(pd.concat([getattr(p, n) for p in parts]) for n in vars(made))))
    assert one.places["MoR-SR tiny"] == two.places["MoR-SR tiny"] == 1


def test_a_metric_that_nobody_declares_is_left_out_with_a_note(tmp_path):
    made = frames(tmp_path, count=6)
    scores = made.scores.replace({"metric": {"musiq": "gone"}})
    view = views(replace(made, scores=scores))[0]
    assert [m.id for m in view.metrics] == ["psnr", "ssim", "lpips"]
    assert any("metric gone, which no installed package declares" in note for note in view.notes)


def test_problems_are_those_of_metrics_not_of_lost_images(tmp_path):
    made = frames(tmp_path, count=6)
    scores = made.scores.copy()
    gone = (scores["metric"] == "musiq") & (scores["method"] == "bicubic")
    scores.loc[gone, ["value", "status", "error"]] = [
        np.nan,
        "unavailable",
        "no weights\n  fix: isrbench fetch weights",
    ]
    (problem,) = views(replace(made, scores=scores))[0].problems.to_dict("records")
    assert problem == {"label": "Bicubic", "metric": "musiq", "status": "unavailable", "images": 6,
                       "error": "no weights\n  fix: isrbench fetch weights"}  # fmt: skip


def test_csv_holds_differences_protocol_and_estimator(tmp_path):
    view = views(frames(tmp_path, count=6, failed=False))[0]
    rows = as_csv(view, {"all": compare(view, list(view.images.index), "Bicubic")}, "Bicubic")
    mine = rows[(rows["method"] == "MoR-SR tiny") & (rows["metric"] == "psnr")].iloc[0]
    assert mine["difference_low"] < mine["difference"] < mine["difference_high"] and 0 <= mine["p_holm"] <= 1
    assert mine["estimator"] == "tiny" and "border 0" in mine["protocol"] and mine["baseline"] == "Bicubic"


def _curves(file: Path, names: list[str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("step,name,value\n" + "".join(f"{s},{n},{s}\n" for n in names for s in range(4)))
    return file


def test_training_curves_never_overwrite_one_another(tmp_path):
    files = [_curves(tmp_path / run / "same/curves.csv", ["loss a", "loss/a"]) for run in ("one", "two")]
    found = training_curves(files, tmp_path / "out")
    assert [paths[0].name for paths, _ in found] == ["loss-a.png", "loss-a-2.png"]
    other = training_curves([files[0], _curves(tmp_path / "x/curves.csv", ["loss a"])], tmp_path / "out2")
    assert len(other) == 2


@pytest.mark.parametrize("text", [None, "", "a,b\n1,2\n", 'x"\n"'])
def test_a_broken_training_file_is_one_clear_message(tmp_path, text):
    file = tmp_path / "curves.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=f"--training {file} "):
        training_curves([file], tmp_path / "out")


def test_files_of_the_last_report_go_and_other_files_stay(tmp_path):
    made, out = frames(tmp_path / "pictures", count=12, failed=False), tmp_path / "out"
    first = build_report(made, out).files
    (out / "mine.txt").write_text("keep")
    one = Frames(*(part[part["method"] == "bicubic"] for part in vars(made).values()))
    second = build_report(one, out).files
    there = {path for path in out.rglob("*") if path.is_file()}
    assert there == {*second, out / "mine.txt", out / "report-files.json"} and set(first) - set(second)
    assert not [path for path in out.rglob("*") if path.is_dir() and not any(path.iterdir())]


def test_pictures_are_copies(tmp_path):
    made, out = frames(tmp_path / "pictures", count=3, failed=False), tmp_path / "out"
    source = Path(made.images["hr_path"].iloc[0])
    before = source.read_bytes()
    (target,) = (out_file for out_file in build_report(made, out).files if out_file.parent.name == "hr" and
                 out_file.name.startswith("00000"))  # fmt: skip
    assert target.read_bytes() == before and not source.samefile(target)
    target.unlink()
    target.hardlink_to(source)  # as reports once did
    build_report(replace(made, images=made.images.assign(hr_path=made.images["lr_path"])), out)
    assert source.read_bytes() == before


def test_a_corrupt_picture_costs_itself_alone(tmp_path):
    made = frames(tmp_path / "pictures", count=4)
    for column, name in (("hr_path", "bad.png"), ("lr_path", "half.png")):
        bad = tmp_path / name
        bad.write_bytes(Path(made.images[column].iloc[0]).read_bytes()[:60] if name == "half.png" else b"no picture")
        made.images.loc[made.images["image"] == "scene_001", column] = str(bad)
    text = build_report(made, tmp_path / "out").page.read_text(encoding="utf-8")
    assert "left out of the gallery" in text and "bad.png" in text and "half.png" in text


def test_a_stratum_that_failed_or_has_fewer_layers_leaves_the_heat_map_standing(tmp_path):
    made = frames(tmp_path / "pictures", count=12, failed=False)
    mine = made.images[made.images["method"] == "mor-tiny"].sort_values("severity")["image"]
    routing = made.routing[~made.routing["image"].isin(mine.tail(4))]
    routing = routing[~(routing["image"].isin(mine.head(4)) & (routing["position"] > 3))]
    files = build_report(replace(made, routing=routing), tmp_path / "out").files
    assert {"layers-mor-sr-tiny.png", "zero-mor-sr-tiny.png"} <= {f.name for f in files}


@pytest.mark.parametrize("title", ["a $x$ b", "$", "_hidden", r"\frac{", "<img onerror=alert(1)>"])
def test_titles_are_no_mathematics_and_stay_in_the_legend(tmp_path, title):
    made = frames(tmp_path / "pictures", count=10, failed=False)
    runs = made.runs.assign(title=["Bicubic", title, "MoR"], dataset="$set$")
    parts = [part.assign(dataset="$set$") for part in (made.scores, made.images, made.routing)]
    files = build_report(Frames(runs, *parts), tmp_path / "out", baseline="bicubic").files
    assert {"severity-psnr.svg", "severity-psnr.dark.svg"} <= {f.name for f in files}
