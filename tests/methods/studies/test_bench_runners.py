"""The bench of runners: what it measures on and what it prints. Never how fast it is."""

import logging
import re

import pytest

from isrbench.methods.studies import bench_runners


def test_a_line_a_number_of_workers_is_printed(caplog):
    caplog.set_level(logging.INFO, logger="isrbench.methods.studies.bench_runners")
    assert bench_runners.main(["--runner", "threads", "--jobs", "12", "--workers", "1", "2"]) == 0
    lines = re.findall(r"threads +([12]) +12 +([\d.]+) +([\d.]+) +([\d.]+)   (\d+), (\d+), (\d+)$", caplog.text, re.M)
    assert [line[0] for line in lines] == ["1", "2"] and float(lines[0][2]) == 1 and float(lines[0][3]) > 0


def test_the_images_are_removed_and_too_few_jobs_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    seen = bench_runners.throughput("lanczos", "serial", 1, 3, 8)
    assert seen.jobs == 3 and seen.seconds > 0 and not list(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stop:
        bench_runners.main(["--jobs", "1"])
    assert stop.value.code == 2
