"""What a table says, before it is rendered."""

from __future__ import annotations

from isrbench.reports.aligned import align
from isrbench.reports.statistics import compare_means
from isrbench.reports.tables.table import Mark, long_form
from tests.support.report_frames import frames
from tests.support.report_tables import small_table


def test_best_and_second_by_direction(tmp_path):
    table = small_table(tmp_path)
    for place, metric in enumerate(table.metrics):
        marks = {label: entries[place].mark for label, entries in table.rows}
        assert sorted(m.value for m in marks.values()) == ["best", "none", "second"], metric.id
    lpips = [m.id for m in table.metrics].index("lpips")
    best = next(entries[lpips].text for _, entries in table.rows if entries[lpips].mark is Mark.BEST)
    assert float(best) == min(float(entries[lpips].text) for _, entries in table.rows)


def test_caption_names_colour_spaces_estimator_and_test(tmp_path):
    caption = small_table(tmp_path).caption
    for part in (
        "PSNR, SSIM on Y of YCbCr",
        "Severity estimator: tiny",
        "Wilcoxon",
        "Holm",
        "than Bicubic",
        "10,000 resamples",
    ):
        assert part in caption


def test_blank_cells_say_why(tmp_path):
    assert "OSEDiff PNGs, PSNR: 1 of 6: failed" in small_table(tmp_path, failed=True).notes


def test_the_long_form_holds_differences_definition_and_estimator(tmp_path):
    (aligned,) = align(frames(tmp_path, count=6, failed=False))
    rows = long_form(aligned, {"all": compare_means(aligned, list(aligned.images.index), "Bicubic")}, "Bicubic")
    mine = rows[(rows["method"] == "MoR-SR (tiny)") & (rows["metric"] == "psnr")].iloc[0]
    assert mine["difference_low"] < mine["difference"] < mine["difference_high"] and 0 <= mine["p_holm"] <= 1
    assert mine["estimator"] == "tiny (1a2b3c4d)" and "border 0" in mine["definition"]
    assert mine["baseline"] == "Bicubic"


def test_notes_of_the_runs_are_notes_of_the_table(tmp_path):
    assert small_table(tmp_path).notes == align(frames(tmp_path, count=6, failed=False))[0].notes != ()
