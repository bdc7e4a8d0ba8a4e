"""What papers report, as a part of a table."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isrbench.reports.aligned import align
from isrbench.reports.reported import ReportedRow, reported_rows
from isrbench.reports.statistics import compare_means
from isrbench.reports.tables.latex import latex, tabular
from isrbench.reports.tables.render import markdown, plain_text
from isrbench.reports.tables.reported import with_reported
from isrbench.reports.tables.table import Mark, Table, score_table
from tests.support.report_frames import frames, of_methods, with_manifests
from tests.support.report_tables import small_table


def _row(source: str, second_hand: bool = False, method: str = "Net", **values: str) -> ReportedRow:
    return ReportedRow("sample", method, "1", source, second_hand, {id: Decimal(v) for id, v in values.items()})


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Three methods, of which ``realesrgan-x4plus`` takes the place of ``folder``."""
    made = frames(tmp_path_factory.mktemp("images"), count=4, failed=False)

    def renamed(manifest):
        facts = {"name": "realesrgan-x4plus", "title": "Real-ESRGAN x4plus"} if manifest.name == "folder" else {}
        return manifest.model_copy(update=facts)

    (aligned,) = align(with_manifests(made, renamed))
    cells = compare_means(aligned, list(aligned.images.index), None)
    return aligned, cells, score_table(aligned, cells, "sample", 4)


def _texts(table: Table, label: str) -> list[str]:
    return [entry.text for entry in dict(table.reported)[label]]


def test_reported_rows_stand_apart_with_their_source(tmp_path):
    table = small_table(tmp_path, dataset="RealSR", reported=True)
    assert "ResShift-15 [1]" in dict(table.reported) and len(table.rows) == 3
    assert "[1] OSEDiff paper, Table 1 (arXiv 2406.08177)" in table.notes
    assert all(entry.mark is Mark.NONE for _, entries in table.reported for entry in entries)
    assert _texts(table, "ResShift-15 [1]") == ["26.31", "0.7421", "0.3460", "58.43"]


def test_second_hand_rows_are_marked_and_only_there_with_all(tmp_path):
    seen = small_table(tmp_path / "a", dataset="RealSR", reported=True)
    every = small_table(tmp_path / "b", dataset="RealSR", reported="all")
    assert not any("†" in text for text in (*dict(seen.reported), *seen.notes))
    assert len(every.reported) > len(seen.reported)
    fidesr = next(label for label, _ in every.reported if label.startswith("FiDeSR-1 ["))
    assert fidesr.endswith("†]")
    assert any(note.startswith("† second-hand") for note in every.notes)


def test_sources_that_disagree_show_their_spread_and_what_was_measured(measured):
    aligned, cells, table = measured
    rows = [
        _row("A", method="Real-ESRGAN", psnr="25.69", ssim="0.7616"),
        _row("B", second_hand=True, method="Real-ESRGAN", psnr="26.65", ssim="0.76", musiq="60.5"),
    ]
    shown = with_reported(table, rows, aligned, cells)
    psnr, ssim, lpips, musiq = dict(shown.reported)["Real-ESRGAN-1 [1, 2†]"]
    here = f"{cells['Real-ESRGAN x4plus', 'psnr'].mean:.2f}"
    assert (psnr.text, psnr.sources) == ("25.69–26.65", f"[1] < [2†]; here {here}")
    assert psnr.note == f"sources disagree: 25.69 [1], 26.65 [2†], here {here}"
    assert (ssim.text, ssim.sources) == ("0.7616", "[1, 2†]"), "equal, rounded to the fewer digits"
    assert (musiq.text, musiq.sources) == ("60.5", "[2†]"), "as many digits as printed"
    assert (lpips.text, lpips.note) == ("–", "not reported")
    for text in (markdown(shown), latex(shown, "t", tabular(shown)), plain_text(shown)):
        assert here in text and "disagree" in text
    assert r"25.69–26.65<br><sub>\[1\] &lt; \[2†\]; here " in markdown(shown)
    assert r"{[}1{]} \textless{} {[}2\textdagger{}{]}; here" in latex(shown, "t", tabular(shown))


def test_three_sources_come_from_low_to_high(measured):
    aligned, cells, table = measured
    rows = [_row("A", psnr="25.2"), _row("B", psnr="25.004"), _row("C", psnr="25.20"), _row("D", psnr="25.1")]
    (entries,) = dict(with_reported(table, rows, aligned, cells).reported).values()
    assert (entries[0].text, entries[0].sources) == ("25.00–25.20", "[2] < [4] < [1, 3]")


def test_tiny_weights_are_not_what_papers_report_on(measured):
    aligned, cells, table = measured
    rows = [_row(source, method="MoR (MoR-DASR)", psnr=value) for source, value in (("A", "25.1"), ("B", "26.2"))]
    (entries,) = dict(with_reported(table, rows, aligned, cells).reported).values()
    assert "MoR-SR (tiny)" in aligned.labels and entries[0].sources == "[1] < [2]"


def test_rows_without_a_shown_metric_are_left_out(tmp_path):
    (aligned,) = align(of_methods(frames(tmp_path, count=2, failed=False), "bicubic"))
    cells = compare_means(aligned, list(aligned.images.index), None)
    table = score_table(aligned, cells, "sample", 2)
    rows = [_row("A", method="Other", niqe="5"), _row("B", psnr="25.1")]
    shown = with_reported(table, rows, aligned, cells)
    assert list(dict(shown.reported)) == ["Net-1 [1]"] and "[1] B" in shown.notes and "[2] A" not in shown.notes


def test_both_names_of_mor_are_in_its_rows():
    assert {row.method for row in reported_rows("all") if row.method.startswith("MoR")} == {"MoR (MoR-DASR)"}
