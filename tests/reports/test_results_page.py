"""The page of results: every table, costs and commands, and nothing of the machine's folders."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from isrbench.harness.api.records import Invocation
from isrbench.harness.errors import UserError
from isrbench.reports.comparison import compare
from isrbench.reports.entry_points import write
from isrbench.reports.results_page import is_results_page
from tests.support.cli import isrbench
from tests.support.report_frames import frames, with_manifests

START = "2026-11-27T01:02:03+00:00"


def _page(tmp_path: Path, *argv: str) -> str:
    call = Invocation(argv=list(argv), start=START, packages={"torch": "2.11"}, platform="Linux", cpus=2)
    made = with_manifests(frames(tmp_path, count=12), lambda m: m.model_copy(update={"invocations": [call]}))
    return compare(made).to_page()


def test_the_page_holds_tables_costs_and_commands_without_the_machines_paths(tmp_path: Path) -> None:
    page = _page(
        tmp_path, "/opt/bin/isrbench", "eval", "--method", "folder", "-o", "images=/home/me/ours", "--runs-dir", "/r/x"
    )
    assert page.startswith("# Results\n") and "## sample" in page and "### sample, severity low" in page
    assert "cost of one image" in page and " MACs |" in page
    assert "Run 2026-11-27 on Linux, 2 CPUs, torch 2.11." in page
    assert "    isrbench eval --method folder -o images=ours --runs-dir x" in page
    assert "/home" not in page and "/opt" not in page


def test_a_run_from_python_has_no_command(tmp_path: Path) -> None:
    assert "    isrbench " not in _page(tmp_path, "/usr/bin/pytest", "tests")


def test_report_writes_the_page_and_replaces_only_its_own(pairs_folder: Path, tmp_path: Path, capsys) -> None:
    runs, file = tmp_path / "runs", tmp_path / "docs" / "results.md"
    code, *_ = isrbench(
        capsys, "eval", "--method", "bicubic", "--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", runs,
        "--no-report", "--estimator", "none",
    )  # fmt: skip
    assert code == 0
    for _ in range(2):
        code, *_ = isrbench(capsys, "report", "--runs-dir", runs, "--markdown", file)
        assert code == 0 and "| Bicubic" in file.read_text(encoding="utf-8")
    file.write_text("mine\n")
    with pytest.raises(UserError, match="is not a page of results"):
        write(runs_dir=runs, markdown=file)
    assert file.read_text() == "mine\n"
    code, *_ = isrbench(capsys, "report", "--runs-dir", runs, "--markdown", file, "--overwrite")
    assert code == 0 and is_results_page(file.read_text(encoding="utf-8"))
    with pytest.raises(UserError, match="is not a file"):
        write(runs_dir=runs, markdown=tmp_path, overwrite=True)


def test_text_of_users_is_no_markup_and_addresses_stay_whole(tmp_path: Path) -> None:
    call = Invocation(argv=["isrbench", "-v", "eval", "-o", "weights=https://host/a/b.pth"], start=START)
    changed = {"invocations": [call], "title": "a|b *c* <i>"}
    made = with_manifests(frames(tmp_path, count=12), lambda m: m.model_copy(update=changed))
    page = compare(made).to_page()
    assert "<i>" not in page and "weights=https://host/a/b.pth" in page and "isrbench -v eval" in page


def test_a_note_stands_below_the_first_table_of_its_set(tmp_path: Path) -> None:
    tiny = with_manifests(frames(tmp_path, count=12), lambda m: m.model_copy(update={"variant": "tiny"}))
    comparison = compare(tiny)
    (only,) = comparison.sets
    assert len(only.printed) > 2
    for texts, count in (
        ([comparison.to_page(), comparison.to_markdown(), only.to_markdown(), only.to_text()], 1),
        ([replace(comparison, sets=(only, only)).to_markdown()], 2),
    ):
        for text in texts:
            assert len(re.findall(r"MoR-SR \(tiny\): runs\s+on\s+the\s+tiny\s+weights", text)) == count


def test_notes_of_ones_own_are_no_page_of_results(tmp_path: Path) -> None:
    assert is_results_page(_page(tmp_path, "isrbench", "eval"))
    assert not is_results_page("# Results\n\nmy own notes\n") and not is_results_page("")
