"""Plots of quality."""

from __future__ import annotations

from isrbench.reports.aligned import align
from isrbench.reports.figures import quality
from isrbench.reports.figures.interaction import slope_bars
from isrbench.reports.figures.style import Target
from isrbench.reports.interaction import analyse
from tests.support.plots import assert_drawn
from tests.support.report_frames import frames


def test_quality_by_severity_and_image_by_image_are_drawn(tmp_path):
    (aligned,) = align(frames(tmp_path / "images"))
    psnr = aligned.metrics[0]
    assert_drawn(quality.robustness(aligned, psnr, "Bicubic", Target(tmp_path, "robustness")))
    assert_drawn(quality.robustness(aligned, psnr, None, Target(tmp_path, "alone")))
    assert_drawn(quality.paired(aligned, psnr, "Bicubic", "MoR-SR (tiny)", Target(tmp_path, "paired")))


def test_slopes_of_all_metrics_share_a_plot(tmp_path):
    (aligned,) = align(frames(tmp_path / "images"))
    rows = analyse(aligned, "Bicubic").rows
    assert_drawn(slope_bars(aligned, rows, "Bicubic", Target(tmp_path, "slopes")))
    assert slope_bars(aligned, rows.assign(slope=float("nan")), "Bicubic", Target(tmp_path, "none")) == []
    assert slope_bars(aligned, rows.head(0), "Bicubic", Target(tmp_path, "none")) == []


def test_words_name_both_methods_and_count_wins(tmp_path):
    (aligned,) = align(frames(tmp_path, count=8, failed=False))
    psnr, gain = aligned.metrics[0], aligned.values["psnr"]["MoR-SR (tiny)"] - aligned.values["psnr"]["Bicubic"]
    words = quality.paired_words(aligned, psnr, "Bicubic", "MoR-SR (tiny)")
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    assert words == f"PSNR: MoR-SR (tiny) beats Bicubic on {wins} of 8 images, loses on {losses}"
    lpips = next(m for m in aligned.metrics if m.id == "lpips")
    lower = int((aligned.values["lpips"]["OSEDiff PNGs"] < aligned.values["lpips"]["Bicubic"]).sum())
    assert f"beats Bicubic on {lower} of 8" in quality.paired_words(aligned, lpips, "Bicubic", "OSEDiff PNGs")


def test_fewer_than_ten_images_are_not_plotted_by_severity(tmp_path):
    (aligned,) = align(frames(tmp_path / "images", count=9, failed=False))
    assert quality.robustness(aligned, aligned.metrics[0], "Bicubic", Target(tmp_path, "few")) == []
