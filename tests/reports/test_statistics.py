"""Statistics against scipy and numpy, recomputed here in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from isrbench.harness.api.metric import Direction
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.statistics import bootstrap_means, compare_means, holm, signed_rank_sum, wilcoxon_p
from tests.support.paths import SHARED
from tests.support.report_frames import begun, frames, of_images, part_of

REALSR = SHARED / "data/RealSR"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> AlignedRuns:
    return align(frames(tmp_path_factory.mktemp("images"), failed=False))[0]


@pytest.fixture(scope="module")
def cells(aligned):
    return compare_means(aligned, list(aligned.images.index), "Bicubic")


def test_means_and_intervals_agree_with_scipys_bootstrap(aligned, cells):
    values = aligned.values["psnr"]["MoR-SR (tiny)"].to_numpy()
    cell = cells["MoR-SR (tiny)", "psnr"]
    assert cell.mean == pytest.approx(values.mean(), abs=1e-12) and cell.n == len(values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert cell.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert cell.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_paired_differences_agree_with_scipy(aligned, cells):
    difference = (aligned.values["psnr"]["MoR-SR (tiny)"] - aligned.values["psnr"]["Bicubic"]).to_numpy()
    cell = cells["MoR-SR (tiny)", "psnr"]
    assert cell.difference == pytest.approx(difference.mean(), abs=1e-12)
    assert cell.p == pytest.approx(stats.wilcoxon(difference).pvalue, abs=0)
    theirs = stats.bootstrap((difference,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert cell.difference_low == pytest.approx(theirs.low, abs=0.05 * (theirs.high - theirs.low))
    assert cell.difference_high == pytest.approx(theirs.high, abs=0.05 * (theirs.high - theirs.low))
    assert cells["Bicubic", "psnr"].p is None and cells["Bicubic", "psnr"].difference is None


def test_holm_by_its_definition():
    p = [0.04, 0.01, 0.03, 0.5]
    expected = [max(min(1, (4 - k) * sorted(p)[k]) for k in range(sorted(p).index(x) + 1)) for x in p]
    assert holm(p) == pytest.approx(expected)
    assert holm([0.03, 0.03]) == pytest.approx([0.06, 0.06])
    assert holm([]) == []


def test_holm_runs_over_the_metrics_of_one_method(aligned, cells):
    p = [cells["OSEDiff PNGs", m.id].p for m in aligned.metrics]
    assert [cells["OSEDiff PNGs", m.id].p_holm for m in aligned.metrics] == pytest.approx(holm(p))


def test_ranks_and_improvement_follow_the_direction(aligned, cells):
    for metric in aligned.metrics:
        means = {label: aligned.values[metric.id][label].mean() for label in aligned.labels}
        order = sorted(means, key=means.get, reverse=metric.direction is Direction.HIGHER)
        assert [cells[label, metric.id].rank for label in order] == [1, 2, 3]
    assert cells["OSEDiff PNGs", "lpips"].better is True and cells["OSEDiff PNGs", "psnr"].better is False


def test_bootstrap_is_seeded_and_shares_its_resamples():
    values = np.random.default_rng(0).normal(size=(40, 2))
    means = bootstrap_means(values, draws=1200)
    assert means.shape == (1200, 2) and np.array_equal(means, bootstrap_means(values, draws=1200))
    assert not np.array_equal(means, bootstrap_means(values, draws=1200, seed=1))
    shifted = bootstrap_means(np.stack([values[:, 0], values[:, 0] + 3], axis=1), draws=50)
    assert np.allclose(shifted[:, 1] - shifted[:, 0], 3), "both columns must see the same images"


def test_a_missing_value_blanks_the_mean_and_the_rank_and_says_why(tmp_path):
    aligned = align(frames(tmp_path))[0]
    cells = compare_means(aligned, list(aligned.images.index), "Bicubic")
    cell = cells["OSEDiff PNGs", "psnr"]
    assert cell.mean is None and cell.rank is None and cell.p is None and cell.reason == "1 of 30: failed"
    assert cells["MoR-SR (tiny)", "psnr"].rank == 1 and cells["Bicubic", "psnr"].rank == 2
    complete = [image for image in aligned.images.index if aligned.status.loc[image, "OSEDiff PNGs"] == "ok"]
    assert compare_means(aligned, complete, "Bicubic")["OSEDiff PNGs", "psnr"].mean is not None


def _with_values(aligned: AlignedRuns, column: list[float]) -> AlignedRuns:
    table = aligned.values["psnr"].copy()
    table["Bicubic"] = column + [20.0] * (len(table) - len(column))
    return replace(aligned, values={**aligned.values, "psnr": table})


def test_infinities_follow_the_written_rule(aligned):
    one = compare_means(_with_values(aligned, [np.inf]), list(aligned.images.index), "MoR-SR (tiny)")
    cell = one["Bicubic", "psnr"]
    assert cell.mean == np.inf and cell.rank == 1 and cell.low is None and cell.p is None
    both = compare_means(_with_values(aligned, [np.inf, -np.inf]), list(aligned.images.index), None)["Bicubic", "psnr"]
    assert both.mean is None and both.reason == "holds both infinities"


def test_equal_methods_share_a_rank_and_differ_with_p_1(aligned):
    table = aligned.values["psnr"].copy()
    table["MoR-SR (tiny)"] = table["Bicubic"]
    same = compare_means(
        replace(aligned, values={**aligned.values, "psnr": table}), list(aligned.images.index), "Bicubic"
    )
    assert same["MoR-SR (tiny)", "psnr"].rank == same["Bicubic", "psnr"].rank == 1
    assert same["MoR-SR (tiny)", "psnr"].p == 1 and same["MoR-SR (tiny)", "psnr"].better is None
    assert wilcoxon_p(np.zeros(5)) == 1


def test_a_sign_needs_mean_and_ranks_to_agree(tmp_path):
    made = frames(tmp_path, count=30, failed=False)
    scores = made.scores.set_index(["method", "image", "metric"]).sort_index()
    shift = np.full(30, -0.1) - np.arange(30) / 1000
    shift[0] = 10  # one image lifts the mean above the baseline; 29 of 30 are worse
    for image, by in zip(sorted(made.images["image"].unique()), shift, strict=True):
        scores.loc[("folder", image, "psnr"), "value"] = scores.loc[("bicubic", image, "psnr"), "value"] + by
    aligned = align(replace(made, scores=scores.reset_index()))[0]
    cell = compare_means(aligned, list(aligned.images.index), "Bicubic")["OSEDiff PNGs", "psnr"]
    assert cell.p_holm < 0.05 and cell.difference > 0 > cell.signed_rank and cell.better is None
    assert signed_rank_sum(np.array([0.0, 1.0, -3.0, 2.0])) == 1 - 3 + 2


def _with_fid(made):
    values = {"bicubic": 80.0, "folder": 60.0, "mor": 70.0}
    rows = [
        {"run": run, "method": method, "dataset": "sample", "image": "", "metric": "fid", "value": values[method],
         "status": "ok", "message": None, "fix": None, "traceback": None}
        for run, method in zip(made.runs["run"], made.runs["method"], strict=True)
    ]  # fmt: skip
    return replace(made, scores=pd.concat([made.scores, pd.DataFrame(rows)], ignore_index=True))


def test_fid_is_blank_unless_every_image_is_there(tmp_path):
    made = _with_fid(frames(tmp_path, count=6, failed=False))
    aligned = align(made)[0]
    cells = compare_means(aligned, list(aligned.images.index), "Bicubic")
    assert [cells[label, "fid"].rank for label in ("Bicubic", "OSEDiff PNGs", "MoR-SR (tiny)")] == [3, 1, 2]
    assert cells["Bicubic", "fid"].low is None and cells["MoR-SR (tiny)", "fid"].p is None
    part = compare_means(aligned, ["scene_000"], None)["Bicubic", "fid"]
    assert part.mean is None and part.reason == "defined for the whole set only"
    cut = align(of_images(made, "folder", ["scene_000"]))[0]
    cell = compare_means(cut, list(cut.images.index), None)["OSEDiff PNGs", "fid"]
    assert (cell.mean, cell.rank, cell.reason) == (None, None, "5 of 6: not in the run")
    failed = align(_with_fid(frames(tmp_path, count=6)))[0]
    assert compare_means(failed, list(failed.images.index), None)["OSEDiff PNGs", "fid"].reason == "1 of 6: failed"


def test_fid_of_a_part_holds_for_that_part_and_for_no_smaller_one(tmp_path):
    two = ["scene_000", "scene_001"]
    made = part_of(_with_fid(frames(tmp_path, count=6, failed=False)), "folder", two, whole=6)
    part = align(made)[1]
    assert compare_means(part, list(part.images.index), None)["OSEDiff PNGs", "fid"].mean == 60
    (shared,) = align(begun(made, "2999-01-01T00:00:00+00:00"), common=True)
    cells = compare_means(shared, list(shared.images.index), None)
    assert cells["Bicubic", "fid"].reason == "defined for the whole set only"


@pytest.mark.skipif(not REALSR.is_dir(), reason="needs the RealSR test set beside the repository")
def test_means_of_the_published_osediff_rows_are_the_published_means(tmp_path):
    table = pd.read_csv(REALSR / "osediff_published.csv")
    made = frames(tmp_path, count=len(table), failed=False, names=list(table["image"]))
    scores = made.scores.set_index(["method", "image", "metric"])
    for metric in ("psnr", "ssim"):
        for image, value in zip(table["image"], table[metric], strict=True):
            scores.loc[("folder", image, metric), "value"] = value
    aligned = align(replace(made, scores=scores.reset_index()))[0]
    cells = compare_means(aligned, list(aligned.images.index), None)
    assert round(cells["OSEDiff PNGs", "psnr"].mean, 4) == 25.1511
    assert round(cells["OSEDiff PNGs", "ssim"].mean, 4) == 0.7341
