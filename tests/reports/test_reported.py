"""What papers report: values of one metric only in a column, and files of one's own."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isrbench.harness.api.registry import metrics
from isrbench.harness.errors import UserError
from isrbench.reports.reported import ReportedRow, reported_ablation, reported_methods, reported_rows

PYIQA = {"maniqa", "topiq_nr", "tres", "liqe", "clipiqa+", "clipiqa+_vitL14_512", "qalign"}
"""Names of pyiqa's that papers report on, whether isrbench has such a metric or not."""


def _of(method: str, dataset: str, start: str) -> ReportedRow:
    (row,) = (
        r for r in reported_rows("all") if (r.method, r.dataset) == (method, dataset) and r.source.startswith(start)
    )
    return row


def test_two_kinds_of_maniqa_share_no_column():
    koniq = [row for row in reported_rows("all") if "maniqa" in row.values]
    pipal = [row for row in reported_rows("all") if "maniqa-pipal" in row.values]
    assert {row.source.partition(",")[0] for row in koniq} == {"MoR paper", "FluxSR"}
    assert not {"MoR paper", "FluxSR"} & {row.source.partition(",")[0] for row in pipal}
    assert all(row.values["maniqa"] < Decimal("0.55") for row in koniq)
    assert _of("OSEDiff", "DIV2K-val", "MoR paper, main").values["maniqa"] == Decimal("0.435")
    assert _of("OSEDiff", "DIV2K-val", "OSEDiff").values["maniqa-pipal"] == Decimal("0.6148")
    assert "maniqa-pipal" not in set(reported_ablation()["metric"])


def test_every_column_is_a_metric():
    ids = {id for row in reported_rows("all") for id in row.values}
    assert ids - PYIQA == {id for id in ids - PYIQA if id in metrics()} and ids >= PYIQA


def test_rows_are_unique_and_say_where_they_come_from():
    rows = reported_rows("all")
    keys = [(row.dataset, row.label, row.source, row.second_hand) for row in rows]
    assert len(set(keys)) == len(keys) == 142
    assert all(row.source and row.values for row in rows)
    assert [row for row in rows if not row.second_hand] == list(reported_rows(True))
    assert all(row.second_hand for row in rows if "quoted in" in row.source or "transcribed" in row.source)
    assert reported_rows(False) == () == reported_rows([])
    assert reported_rows(["all", "seen"]) == rows
    assert set(reported_methods()) <= {row.method for row in rows}


def test_papers_disagree_on_real_esrgan():
    values = [r.values["psnr"] for r in reported_rows("all") if (r.method, r.dataset) == ("Real-ESRGAN", "RealSR")]
    assert values == [Decimal("25.69"), Decimal("26.65")]


def test_rows_of_ones_own(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("dataset,method,psnr,maniqa\nRealSR,Mine,25.10,\nRealSR,Other,,0.5\n", encoding="utf-8-sig")
    assert reported_rows(file) == (
        ReportedRow("RealSR", "Mine", "", "mine.csv", False, {"psnr": Decimal("25.10")}),
        ReportedRow("RealSR", "Other", "", "mine.csv", False, {"maniqa": Decimal("0.5")}),
    )
    assert reported_rows(["seen", file]) == (*reported_rows("seen"), *reported_rows(str(file)))
    file.write_text("dataset,method,steps,provenance,psnr,source\nRealSR,Mine,4,second-hand,25,a talk\n")
    (row,) = reported_rows(file)
    assert (row.label, row.second_hand, row.source) == ("Mine-4", True, "a talk")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method,psnr\nMine,25\n", "has no column dataset"),
        ("dataset,method,pnsr\nRealSR,Mine,25\n", "unknown column 'pnsr'; did you mean 'psnr'"),
        ("dataset,method,psnr,psnr\nRealSR,Mine,25,26\n", "two columns psnr"),
        ("dataset,method,psnr\nRealSR,Mine,high\n", "line 2: psnr is 'high', not a number"),
        ("dataset,method,psnr\nRealSR,Mine,25\nRealSR,Mine,nan\n", "line 3: psnr is 'nan', not a finite number"),
        ("dataset,method,psnr\nRealSR,,25\n", "line 2: method is empty"),
        ("dataset,method,psnr\nRealSR,Mine,25,1\n", "line 2: it has more or fewer cells"),
        ("dataset,method,psnr\nRealSR,Mine\n", "line 2: it has more or fewer cells"),
        ("dataset,method,provenance,psnr\nRealSR,Mine,heard,25\n", "provenance is 'heard'"),
        ("", "has no column dataset"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, text, said):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        reported_rows(file)


def test_an_unreadable_choice_is_refused(tmp_path):
    with pytest.raises(UserError, match="unknown choice of reported rows: some"):
        reported_rows("some")
    with pytest.raises(UserError, match=r"none\.csv does not exist"):
        reported_rows(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"dataset,method\n\xff,x\n")
    with pytest.raises(UserError, match="cannot be read: it is not UTF-8 text"):
        reported_rows(tmp_path / "bytes.csv")


def test_one_source_says_a_value_once(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("dataset,method,psnr,ssim\nsample,Foo,25.00,\nsample,Foo,,0.7\n")
    with pytest.raises(UserError, match="lines 2 and 3: Foo on sample twice of one source"):
        reported_rows(file)
