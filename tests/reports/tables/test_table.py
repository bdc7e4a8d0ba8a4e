"""What a table says, before it is rendered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from isrbench.reports.aligned import align
from isrbench.reports.statistics import compare_means, means, wilcoxon_p
from isrbench.reports.tables.table import Mark, long_form, score_table
from tests.support.report_frames import frames, of_metrics
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
    notes = align(frames(tmp_path, count=6, failed=False))[0].notes
    assert small_table(tmp_path).notes[: len(notes)] == notes != ()


def test_a_table_of_too_few_images_says_that_none_can_be_significant(tmp_path):
    """The least p is that of differences of one sign; four metrics are tested."""
    note = [note for note in small_table(tmp_path, count=7).notes if "can be reached" in note]
    assert note == [
        "no p below 0.05 can be reached with n = 7: where all differences have one sign, the test gives 0.016, and "
        "0.062 after Holm's correction over 4 metrics"
    ]
    assert f"{wilcoxon_p(np.arange(1.0, 8)):.2g}" == "0.016"
    assert not any("can be reached" in note for note in small_table(tmp_path, count=8).notes)


def test_means_that_are_printed_alike_share_the_mark(tmp_path):
    (aligned,) = align(of_metrics(frames(tmp_path, count=3, failed=False), "psnr"))
    values = pd.DataFrame([[27.111, 27.114, 26.0]] * 3, aligned.images.index, aligned.labels)
    close = replace(aligned, values={"psnr": values})
    cells = means(close, list(close.images.index))
    table = score_table(close, cells, "x", 3)
    assert [entries[0].mark for _, entries in table.rows] == [Mark.BEST, Mark.BEST, Mark.NONE]
    assert [cells[label, "psnr"].rank for label in close.labels] == [2, 1, 3]
