"""``isrbench report``: how its options reach what writes the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.cli import report
from tests.support.cli import isrbench


@pytest.mark.parametrize(
    ("args", "runs", "reported"),
    [
        ([], [], []),
        (["--reported"], [], ["seen"]),
        (["--reported", "--common"], [], ["seen"]),
        (["--reported", "latest"], ["latest"], ["seen"]),
        (["latest", "--reported", "all"], ["latest"], ["all"]),
        (["--reported", "mine.tsv"], [], ["mine.tsv"]),
        (["--reported=all", "--reported", "mine.CSV", "latest"], ["latest"], ["all", "mine.CSV"]),
    ],
)
def test_reported_takes_a_value_or_none(capsys, monkeypatch, tmp_path, args, runs, reported):
    asked = {}
    monkeypatch.chdir(tmp_path)
    Path("mine.tsv").touch()

    def write(**options):
        asked.update(options)
        return tmp_path / "index.html"

    monkeypatch.setattr(report, "report_writer", lambda: write)
    code, _, err = isrbench(capsys, "report", "--out", str(tmp_path), *args)
    assert code == 0, err
    assert (list(asked["runs"]), list(asked["reported"])) == (runs, reported)


def test_report_without_any_argument(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "report_writer", lambda: lambda **options: options["out"] / "index.html")
    code, out, err = isrbench(capsys, "report")
    assert code == 0 and out.strip() == "runs/report/index.html", err
