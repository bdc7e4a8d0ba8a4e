"""A layout: which columns and rows a report shows, in which order and with which digits; no number depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.api.layout import Layout
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import compare
from isrbench.reports.tables.table import Table
from tests.support.report_frames import frames


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Frames:
    return frames(tmp_path_factory.mktemp("images"), count=6, failed=False)


def _table(made: Frames, **layout: object) -> Table:
    return compare(made, layout=Layout(**layout)).sets[0].tables[0]


def test_columns_and_rows_are_those_named_in_their_order(made):
    whole = _table(made)
    table = _table(made, metrics=("lpips", "psnr"), methods=("mor", "Bicubic"))
    assert [m.id for m in table.metrics] == ["lpips", "psnr"]
    assert [label for label, _ in table.rows] == ["MoR-SR (tiny)", "Bicubic"]
    before = dict(whole.rows)
    for label, (lpips, psnr) in table.rows:
        assert (psnr.text, psnr.sign, psnr.interval) == (
            before[label][0].text, before[label][0].sign, before[label][0].interval
        ), "Holm's correction is over all metrics of the runs"  # fmt: skip
        assert lpips.text == before[label][2].text
    assert [m.id for m in _table(made, metrics=("@mor",)).metrics] == ["psnr", "lpips", "musiq"]


def test_a_method_keeps_its_colour_whichever_others_are_shown(made):
    whole, cut = (
        compare(made, layout=layout).sets[0].aligned.places for layout in (Layout(), Layout(methods=("mor",)))
    )
    assert cut == {"MoR-SR (tiny)": whole["MoR-SR (tiny)"]} and cut["MoR-SR (tiny)"] > 0


def test_rows_by_a_metric_are_best_first(made):
    for metric, column in (("psnr", 0), ("lpips", 2)):
        values = [entries[column].value for _, entries in _table(made, order=metric).rows]
        assert values == sorted(values, reverse=metric == "psnr") and len(set(values)) == 3


def test_digits_of_all_or_of_one_metric_and_ties_share_the_mark(made):
    table = _table(made, digits=("1", "psnr=3"))
    psnr, ssim, *_ = table.rows[0][1]
    assert len(psnr.text.partition(".")[2]) == 3 and len(ssim.text.partition(".")[2]) == 1
    column = [entries[1] for _, entries in table.rows]
    best = max(entry.text for entry in column)
    assert [entry.mark.value == "best" for entry in column] == [entry.text == best for entry in column]
    assert len({entry.value for entry in column if entry.text == best}) > 1, "alike only as they are printed"


def test_without_intervals_no_file_prints_them_and_the_page_keeps_them(made):
    found = compare(made, layout=Layout(intervals=False)).sets[0]
    assert found.tables[0].rows[0][1][0].interval and "<sub>" not in found.to_markdown().partition("alike?")[0]
    assert "95% intervals" not in found.tables[0].caption


def test_the_mean_rank_that_was_asked_for_stays(made):
    found = compare(made, rank_over=["psnr", "musiq"], layout=Layout(metrics=("ssim",)))
    assert [m.id for m in found.sets[0].tables[0].metrics] == ["ssim", "mean-rank"]
    assert set(found.table["metric"]) == {"ssim", "mean-rank"}


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"metrics": ("psrn",)}, "did you mean"),
        ({"metrics": ("niqe",)}, "no run here was scored by niqe"),
        ({"metrics": ("@nothing",)}, "@nothing"),
        ({"order": "nique"}, "nique"),
        ({"methods": ("morr",)}, "did you mean"),
        ({"digits": ("psnr=x",)}, "--digits psnr=x"),
        ({"digits": ("18",)}, "--digits 18"),
        ({"digits": ("dists=2",)}, "dists"),
    ],
)
def test_what_is_not_there_is_named(made, layout, said):
    with pytest.raises(UserError, match=said) as caught:
        compare(made, layout=Layout(**layout))
    assert caught.value.fix


def test_a_column_without_any_value_is_one_line(tmp_path: Path):
    made = frames(tmp_path, count=4, failed=False)
    scores = made.scores.assign(value=made.scores["value"].mask(made.scores["metric"] == "musiq"))
    table = compare(Frames(made.runs, scores, made.images, made.routing)).sets[0].tables[0]
    assert [m.id for m in table.metrics] == ["psnr", "ssim", "lpips"] and len(table.definitions) == 3
    assert [note for note in table.notes if "MUSIQ" in note] == ["left out, without any value: MUSIQ (not computed)"]
