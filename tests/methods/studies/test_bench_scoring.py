"""The scoring bench: what it measures on, what it prints and its exit codes. Never how fast it is."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from isrbench.harness.cli.terminal import show_logs
from isrbench.methods.studies import bench_scoring
from tests.support.images import write_pairs


@pytest.fixture
def said(caplog):
    caplog.set_level("INFO", logger="isrbench.methods.studies.bench_scoring")
    return caplog


def _folders(tmp_path: Path) -> tuple[str, ...]:
    """Three HR images of 64x64, scored against three others of the same names."""
    hr = write_pairs(tmp_path / "one", ["a", "b", "c"]) / "HR"
    sr = write_pairs(tmp_path / "two", ["c", "a", "b"]) / "HR"
    return "--sr", str(sr), "--hr", str(hr)


def test_both_times_their_ratio_and_the_difference_are_printed(tmp_path: Path, said) -> None:
    assert bench_scoring.main([*_folders(tmp_path), "--workers", "2"]) == 0
    assert "3 images" in said.text
    times = [float(t) for t in re.findall(r"([\d.]+) s$", said.text, re.M)]
    assert len(times) == 2 and re.search(r"ratio +[\d.]+ times", said.text)
    differences = re.findall(r"largest difference  (\w+) +([\d.e+-]+)", said.text)
    assert [metric for metric, _ in differences] == ["psnr", "ssim"]
    assert all(float(value) < 1e-3 for _, value in differences)


def test_sets_of_metrics_are_compared_as_far_as_pyiqa_has_them(said) -> None:
    assert bench_scoring.main(["--limit", "1", "--metrics", "@free"]) == 0
    assert "left out, not in pyiqa or with weights: lr_consistency, shift, hallucination" in said.text
    differences = dict(re.findall(r"largest difference  (\w+) +([\d.e+-]+)", said.text))
    assert list(differences) == ["psnr", "ssim", "ms_ssim", "gmsd", "vsi", "niqe", "piqe"]
    assert all(float(value) < (2e-4 if metric == "psnr" else 1e-5) for metric, value in differences.items())
    assert bench_scoring.main(["--metrics", "lpips"]) == 2


def test_what_it_says_reaches_the_terminal(capsys, logs_kept) -> None:
    logger = logging.getLogger("isrbench.methods.studies.bench_scoring")
    logger.setLevel(logging.NOTSET)
    show_logs(verbose=False)
    assert bench_scoring.main(["--limit", "1", "--metrics", "psnr"]) == 0
    assert re.search(r"^ratio +[\d.]+ times faster$", capsys.readouterr().err, re.M)


def test_without_folders_the_sample_set_is_taken(said) -> None:
    assert bench_scoring.main(["--limit", "2"]) == 0
    assert "2 images" in said.text


def test_a_ratio_below_the_asked_one_is_exit_code_1(tmp_path: Path, said, monkeypatch) -> None:
    slow = bench_scoring.Comparison(3, plain_seconds=2.0, ours_seconds=2.0, workers=1, difference={"psnr": 0.0})
    monkeypatch.setattr(bench_scoring, "compare", lambda pairs, workers, metrics: slow)
    assert bench_scoring.main([*_folders(tmp_path), "--at-least", "1.3"]) == 1
    assert "1.00 times is below --at-least 1.3" in said.text
    assert bench_scoring.main([*_folders(tmp_path / "again"), "--at-least", "1"]) == 0


def test_mistakes_are_one_message_and_exit_code_2(tmp_path: Path, said) -> None:
    _, sr, _, hr = _folders(tmp_path)
    (Path(hr) / "b.png").unlink()
    (tmp_path / "empty").mkdir()
    for argv, words in (
        (["--sr", sr, "--hr", hr], "b.png has no HR image"),
        (["--sr", sr, "--hr", str(tmp_path / "gone")], "gone is not a folder"),
        (["--sr", str(tmp_path / "empty"), "--hr", hr], "there are no images in"),
    ):
        said.clear()
        assert bench_scoring.main(argv) == 2 and words in said.text
    for argv in (["--sr", sr], ["--limit", "0"]):
        with pytest.raises(SystemExit) as stop:
            bench_scoring.main(argv)
        assert stop.value.code == 2
