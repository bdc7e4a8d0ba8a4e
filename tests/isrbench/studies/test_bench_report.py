"""The bench of reports: what it prints, over few rows."""

from __future__ import annotations

import logging
import re

import pytest

from isrbench.studies.bench_report import main
from tests.support.browser import CHROMIUM, DRIVER


@pytest.mark.slow
@pytest.mark.browser
def test_it_prints_time_memory_sizes_and_how_fast_the_page_opens(tmp_path, caplog):
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium and chromedriver")
    with caplog.at_level(logging.INFO):
        assert main(["--methods", "2", "--images", "260", "--pixels", "64", "--out", str(tmp_path)]) == 0
    said = caplog.text
    assert "2 methods x 260 images x 9 metrics" in said
    assert re.search(r"report +[\d.]+ s, [\d.]+ s of processor, peak \d+ MiB", said)
    assert re.search(r"its data [\d.]+ MiB in 2 pieces", said), "250 images a piece"
    assert re.search(r"page opens +[\d.]+ s, 120 images shown; [\d.]+ s for all", said)
    assert len(list((tmp_path / "report" / "images").rglob("*.png"))) == 260 * 4
