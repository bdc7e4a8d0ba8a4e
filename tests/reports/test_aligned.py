"""Runs image by image: labels, colours, severities, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd

from isrbench.harness.api.records import EstimatorRecord
from isrbench.reports.aligned import align
from isrbench.reports.comparison import compare
from isrbench.reports.reported import ReportedRow
from isrbench.reports.statistics import compare_means
from isrbench.reports.tables.reported import with_reported
from isrbench.reports.tables.table import score_table
from tests.support.packages import install
from tests.support.report_frames import (
    MESSAGE,
    TRACEBACK,
    begun,
    frames,
    of_images,
    of_methods,
    on_dataset,
    part_of,
    together,
    with_manifests,
)


def _with_estimators(made, specs: dict[str, str | None]):
    def change(manifest):
        spec = specs[manifest.name]
        record = None if spec is None else EstimatorRecord(spec=spec, version=spec * 64)
        return manifest.model_copy(update={"estimator": record})

    versions = {name: None if spec is None else spec * 64 for name, spec in specs.items()}
    made = with_manifests(made, change)
    return replace(made, images=made.images.assign(estimator=made.images["method"].map(versions)))


def test_severities_come_from_one_estimator_and_whole(tmp_path):
    made = _with_estimators(frames(tmp_path, count=6, failed=False), {"bicubic": None, "folder": "a", "mor": "b"})
    images = made.images.copy()
    images.loc[images["method"] == "bicubic", "severity"] = np.nan
    images.loc[images["method"] == "folder", ["severity", "blur"]] = 0.01
    images.loc[(images["method"] == "folder") & (images["image"] == "scene_000"), "severity"] = np.nan
    (aligned,) = align(replace(made, images=images))
    own = made.images[made.images["method"] == "mor"].set_index("image")
    assert aligned.estimator == "b (bbbbbbbb)"
    assert (aligned.images["severity"] == own["severity"]).all() and (aligned.images["blur"] == own["blur"]).all()
    expected = "severities are those of b (bbbbbbbb); a (aaaaaaaa) gave others for OSEDiff PNGs"
    assert any(expected in note for note in aligned.notes)


def test_a_row_by_an_estimator_that_no_run_names_is_told_apart(tmp_path):
    made = frames(tmp_path, count=4, failed=False)
    images = made.images.copy()
    images.loc[images["method"] == "folder", "estimator"] = "9" * 64
    (aligned,) = align(replace(made, images=images))
    assert aligned.estimator == "tiny (1a2b3c4d)"
    assert any("99999999 gave others for OSEDiff PNGs" in note for note in aligned.notes)


def test_labels_stay_unique_when_titles_do_not(tmp_path):
    made = with_manifests(frames(tmp_path, count=5), lambda m: m.model_copy(update={"title": "Spandrel"}))
    (aligned,) = align(made)
    assert len(set(aligned.labels)) == 3 and all(label.startswith("Spandrel (") for label in aligned.labels)


def test_colours_stay_with_a_method_from_set_to_set(tmp_path):
    made = frames(tmp_path, count=4)
    second = with_manifests(on_dataset(of_methods(made, "mor"), "two"), lambda m: m.model_copy(update={"run": "two"}))
    one, two = align(together(made, second))
    assert one.places["MoR-SR (tiny)"] == two.places["MoR-SR (tiny)"] == 1


def test_a_metric_that_nobody_declares_is_left_out_with_a_note(tmp_path):
    made = frames(tmp_path, count=6)
    scores = made.scores.replace({"metric": {"musiq": "gone"}})
    (aligned,) = align(replace(made, scores=scores))
    assert [m.id for m in aligned.metrics] == ["psnr", "ssim", "lpips"]
    assert any("metric gone, which no installed package declares" in note for note in aligned.notes)


def test_tiny_weights_are_explained_once_a_method(tmp_path):
    (aligned,) = align(frames(tmp_path, count=4))
    (note,) = [note for note in aligned.notes if "tiny weights" in note]
    assert note.startswith("MoR-SR (tiny): runs on the tiny weights that ship")


def test_a_failed_image_keeps_message_and_traceback_apart(tmp_path):
    (failed,) = align(frames(tmp_path, count=6))[0].failed
    assert (failed.label, failed.image) == ("OSEDiff PNGs", "scene_005")
    assert (failed.failure.message, failed.failure.fix, failed.failure.traceback) == (MESSAGE, "", TRACEBACK)


def test_missing_scores_are_those_of_metrics_not_of_lost_images(tmp_path):
    made = frames(tmp_path, count=6)
    scores = made.scores.copy()
    gone = (scores["metric"] == "musiq") & (scores["method"] == "bicubic")
    scores.loc[gone, ["value", "status"]] = [np.nan, "unavailable"]
    scores["message"] = np.where(gone, "no weights", None)
    scores["fix"] = np.where(gone, "isrbench fetch weights", None)
    (missing,) = align(replace(made, scores=scores))[0].missing
    assert (missing.label, missing.metric, missing.status, missing.images) == ("Bicubic", "MUSIQ", "unavailable", 6)
    assert (missing.failure.message, missing.failure.fix) == ("no weights", "isrbench fetch weights")
    odd = replace(made, scores=scores.replace({"metric": {"musiq": "gone"}}))
    assert align(odd)[0].missing[0].metric == "gone"


def test_metrics_that_lack_weights_everywhere_share_one_line_and_have_no_column(tmp_path):
    made = frames(tmp_path, count=6)
    gone = made.scores["metric"].isin(["musiq", "lpips"])
    scores = made.scores.assign(
        value=made.scores["value"].mask(gone), status=made.scores["status"].mask(gone, "unavailable")
    )
    (aligned,) = align(replace(made, scores=scores))
    assert [m.id for m in aligned.metrics] == ["psnr", "ssim"] and [m.id for m in aligned.blank] == ["lpips", "musiq"]
    assert aligned.missing == () and set(aligned.values) == {"psnr", "ssim"}
    said = [note for note in aligned.notes if "without their weights" in note]
    assert said == ["lpips, musiq: not computed without their weights; isrbench fetch weights --metric lpips,musiq"]
    comparison = compare(replace(made, scores=scores))
    tables = len(comparison.tables)
    for text, shown in ((comparison.to_markdown(), 1), (comparison.to_latex(), tables), (comparison.to_text(), 1)):
        assert " ".join(text.split()).count("isrbench fetch weights") == shown
        assert "MUSIQ" not in text and "LPIPS" not in text
    alone = replace(made, scores=scores[gone])
    assert [m.id for m in align(alone)[0].metrics] == ["lpips", "musiq"], "a table has a column"


def test_a_metric_without_weights_keeps_its_column_where_papers_report_it(tmp_path):
    made = of_methods(frames(tmp_path, count=6), "bicubic")
    gone = made.scores["metric"].eq("musiq")
    scores = made.scores.assign(
        value=made.scores["value"].mask(gone), status=made.scores["status"].mask(gone, "unavailable")
    )
    (aligned,) = align(replace(made, scores=scores))
    cells = compare_means(aligned, list(aligned.images.index), None)
    row = ReportedRow("sample", "X", "1", "a paper", False, {"musiq": Decimal("70.00"), "dists": Decimal("0.2")})
    table = with_reported(score_table(aligned, cells, "t", 6, blank=aligned.blank), [row], aligned, cells)
    assert [m.id for m in table.metrics] == ["psnr", "ssim", "lpips", "musiq"]
    assert table.rows[0][1][3].note == "weights unavailable" and table.reported[0][1][3].text == "70.00"


def test_missing_texts_may_be_nan(tmp_path):
    made = frames(tmp_path, count=6)
    scores, images = (part.assign(fix=float("nan")) for part in (made.scores, made.images))
    assert align(replace(made, scores=scores, images=images))[0].failed[0].failure.fix == ""


def test_shared_images_alone_are_aligned(tmp_path):
    two = ["scene_000", "scene_001"]
    made = begun(part_of(frames(tmp_path, count=6, failed=False), "folder", two, whole=6), "2999-01-01T00:00:00+00:00")
    (aligned,) = align(made, common=True)
    assert list(aligned.images.index) == two and aligned.partial
    assert aligned.values["psnr"].shape == (2, 3) and aligned.values["psnr"].notna().all().all()
    assert set(aligned.routing["image"]) == set(two)


def test_an_image_that_a_run_lacks_is_absent_not_failed(tmp_path):
    (aligned,) = align(of_images(frames(tmp_path, count=4, failed=False), "folder", ["scene_000"]))
    assert list(aligned.status["OSEDiff PNGs"]) == ["ok", "absent", "absent", "absent"] and not aligned.failed


def test_empty_paths_are_looked_for_in_other_runs(tmp_path):
    made = frames(tmp_path, count=3, failed=False)
    images = made.images.copy()
    images.loc[images["method"] == "bicubic", "hr_path"] = str(tmp_path / "gone.png")
    (aligned,) = align(replace(made, images=images))
    expected = made.images[made.images["method"] == "folder"].set_index("image")["hr_path"]
    pd.testing.assert_series_equal(aligned.images["hr_path"], expected, check_names=False, check_dtype=False)


def test_a_metric_whose_package_broke_counts_as_undeclared(site, tmp_path):
    install(
        site, "acme", {"isrbench.metrics": {"acme": "acme_gone:METRIC"}}, acme_gone="import no_such_module_anywhere"
    )
    made = frames(tmp_path, count=4)
    scores = made.scores.replace({"metric": {"musiq": "acme"}})
    scores.loc[(scores["metric"] == "acme") & (scores["image"] == "scene_000"), ["value", "status"]] = [None, "failed"]
    (aligned,) = align(replace(made, scores=scores))
    assert "acme" not in {metric.id for metric in aligned.metrics}
    assert "left out: metric acme, which no installed package declares (isrbench list metrics)" in aligned.notes
    assert {row.metric for row in aligned.missing} == {"acme"}
