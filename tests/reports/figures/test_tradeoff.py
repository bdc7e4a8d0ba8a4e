"""Perception against distortion, and paired differences."""

from __future__ import annotations

import pytest

from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.figures.differences import differences
from isrbench.reports.figures.style import Target
from isrbench.reports.figures.tradeoff import tradeoff
from isrbench.reports.statistics import Cells, compare_means
from tests.support.plots import assert_drawn
from tests.support.report_frames import frames


@pytest.fixture
def compared(tmp_path) -> tuple[AlignedRuns, Cells]:
    (aligned,) = align(frames(tmp_path / "images", count=6, failed=False))
    return aligned, compare_means(aligned, list(aligned.images.index), "Bicubic")


def test_perception_against_distortion_is_drawn(compared, tmp_path):
    aligned, cells = compared
    psnr, _, lpips, musiq = aligned.metrics
    for metric in (lpips, musiq):
        assert_drawn(tradeoff(aligned, cells, psnr, metric, Target(tmp_path, metric.id)))


def test_one_method_is_no_trade_off(tmp_path):
    (aligned,) = align(frames(tmp_path / "images", count=3))
    cells = compare_means(aligned, list(aligned.images.index), None)
    lone = cells | {(label, "psnr"): cells["OSEDiff PNGs", "psnr"] for label in aligned.labels[1:]}
    assert cells["OSEDiff PNGs", "psnr"].mean is None, "one image failed"
    assert tradeoff(aligned, lone, aligned.metrics[0], aligned.metrics[2], Target(tmp_path, "t")) == []


def test_differences_of_every_metric_are_drawn(compared, tmp_path):
    aligned, cells = compared
    for metric in aligned.metrics:
        assert_drawn(differences(aligned, cells, metric, "Bicubic", Target(tmp_path, metric.id)))
    assert differences(aligned, compare_means(aligned, list(aligned.images.index), None), aligned.metrics[0], "Bicubic",
                       Target(tmp_path, "none")) == []  # fmt: skip
