"""The bench of the pipeline: what it prints and its exit codes. Never how fast it is."""

from __future__ import annotations

import logging
import re

import pytest

from isrbench.methods.studies import bench_throughput
from isrbench.methods.studies.bench_throughput import PARTS, Part, Seen


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="isrbench.methods.studies.bench_throughput")
    return caplog


def test_rates_bounds_and_the_overhead_are_printed_and_nothing_is_left(said, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert bench_throughput.main(
        ["--images", "3", "--rounds", "2", "--metrics", "psnr", "--workers", "2", "--device", "cpu"]
    ) == 0  # fmt: skip
    assert re.findall(r"^.*?(\w+) +alone", said.text, re.M) == list(PARTS)
    for line in (
        "parts one after the other",
        "plain script",
        "pipeline",
        "slowest part's bound",
        "with the cores shared",
    ):
        assert re.search(rf"{line} +\d+\.\d+ images/s", said.text), line
    assert len(re.findall(r"^.*  \w.+ +\d+\.\d\d$", said.text.partition("overhead an image")[2], re.M)) == 6
    assert len(re.search(r"of its bound .*\((.*)\)", said.text)[1].split(", ")) == 2, "a ratio for each round"
    assert not list(tmp_path.iterdir())


def test_bounds_are_the_slowest_part_and_on_a_cpu_the_cores():
    parts = {name: Part(1, 0.1, 0.1) for name in PARTS} | {"restore": Part(1, 0.4, 0.8), "score": Part(2, 0.2, 0.9)}
    seen = Seen(10, 2, shared=False, pipeline=0.6, plain=1.0, parts=parts, overhead={})
    assert seen.slowest == pytest.approx(0.5) and seen.bound == seen.slowest, "rows are written between two images"
    shared = Seen(10, 2, shared=True, pipeline=1.0, plain=1.0, parts=parts, overhead={})
    assert shared.bound == pytest.approx((0.8 + 0.9 + 0.3) / 2) and shared.share == pytest.approx(1)


def test_mistakes_and_too_small_a_share(said, monkeypatch):
    parts = {name: Part(1, 0.1, 0.1) for name in PARTS}
    times = (0.5, 1.0, 4.0)
    slow = [Seen(2, 2, True, pipeline=time, plain=1.0, parts=parts, overhead={}) for time in times]
    assert bench_throughput.main(["--method", "bicubik"]) == 2 and "did you mean 'bicubic'" in said.text
    monkeypatch.setattr(bench_throughput, "throughput", lambda request, images, rounds: slow)
    assert bench_throughput.main(["--at-least", "0.9"]) == 1 and "0.25 of the bound is below" in said.text
    assert re.search(r"pipeline to plain script +1\.00 \(2\.00, 1\.00, 0\.25\)", said.text), "medians over the rounds"
    with pytest.raises(SystemExit) as stop:
        bench_throughput.main(["--images", "1"])
    assert stop.value.code == 2
