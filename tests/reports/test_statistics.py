"""Statistics against scipy and numpy, recomputed here in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from isrbench.harness.api.metric import Direction
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import View, views
from isrbench.reports.statistics import bootstrap_means, compare, holm, wilcoxon_p
from isrbench.reports.strata import Rule, parse_rule, strata
from tests.support.paths import SHARED
from tests.support.report_frames import frames

REALSR = SHARED / "data/RealSR"


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> View:
    return views(frames(tmp_path_factory.mktemp("pictures"), failed=False))[0]


@pytest.fixture(scope="module")
def cells(view):
    return compare(view, list(view.images.index), "Bicubic")


def test_means_and_intervals_agree_with_scipys_bootstrap(view, cells):
    values = view.values["psnr"]["MoR-SR tiny"].to_numpy()
    cell = cells["MoR-SR tiny", "psnr"]
    assert cell.mean == pytest.approx(values.mean(), abs=1e-12) and cell.n == len(values)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert cell.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert cell.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_paired_differences_agree_with_scipy(view, cells):
    difference = (view.values["psnr"]["MoR-SR tiny"] - view.values["psnr"]["Bicubic"]).to_numpy()
    cell = cells["MoR-SR tiny", "psnr"]
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


def test_holm_runs_over_the_metrics_of_one_method(view, cells):
    p = [cells["OSEDiff PNGs", m.id].p for m in view.metrics]
    assert [cells["OSEDiff PNGs", m.id].p_holm for m in view.metrics] == pytest.approx(holm(p))


def test_ranks_and_improvement_follow_the_direction(view, cells):
    for metric in view.metrics:
        means = {label: view.values[metric.id][label].mean() for label in view.labels}
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
    view = views(frames(tmp_path))[0]
    cells = compare(view, list(view.images.index), "Bicubic")
    cell = cells["OSEDiff PNGs", "psnr"]
    assert cell.mean is None and cell.rank is None and cell.p is None and cell.reason == "1 of 30: failed"
    assert cells["MoR-SR tiny", "psnr"].rank == 1 and cells["Bicubic", "psnr"].rank == 2
    complete = [image for image in view.images.index if view.status.loc[image, "OSEDiff PNGs"] == "ok"]
    assert compare(view, complete, "Bicubic")["OSEDiff PNGs", "psnr"].mean is not None


def _with_values(view: View, column: list[float]) -> View:
    table = view.values["psnr"].copy()
    table["Bicubic"] = column + [20.0] * (len(table) - len(column))
    return replace(view, values={**view.values, "psnr": table})


def test_infinities_follow_the_written_rule(view):
    one = compare(_with_values(view, [np.inf]), list(view.images.index), "MoR-SR tiny")
    cell = one["Bicubic", "psnr"]
    assert cell.mean == np.inf and cell.rank == 1 and cell.low is None and cell.p is None
    both = compare(_with_values(view, [np.inf, -np.inf]), list(view.images.index), None)["Bicubic", "psnr"]
    assert both.mean is None and both.reason == "holds both infinities"


def test_equal_methods_share_a_rank_and_differ_with_p_1(view):
    table = view.values["psnr"].copy()
    table["MoR-SR tiny"] = table["Bicubic"]
    same = compare(replace(view, values={**view.values, "psnr": table}), list(view.images.index), "Bicubic")
    assert same["MoR-SR tiny", "psnr"].rank == same["Bicubic", "psnr"].rank == 1
    assert same["MoR-SR tiny", "psnr"].p == 1 and same["MoR-SR tiny", "psnr"].better is None
    assert wilcoxon_p(np.zeros(5)) == 1


def test_strata_partition_the_images(view):
    groups = strata(view.images, parse_rule("quantile:3"))
    assert [g.name for g in groups] == ["severity low", "severity medium", "severity high"]
    assert sorted(image for g in groups for image in g.images) == sorted(view.images.index)
    assert [len(g.images) for g in groups] == [10, 10, 10]
    severity = view.images["severity"]
    assert severity[list(groups[0].images)].max() < severity[list(groups[1].images)].min()


def test_strata_by_edges_dimension_and_level(view):
    low, high = strata(view.images, parse_rule("edges:0.4"))
    assert (view.images.loc[list(low.images), "severity"] < 0.4).all()
    assert (view.images.loc[list(high.images), "severity"] >= 0.4).all()
    assert parse_rule("edges") == Rule("edges") and parse_rule("edges:edges:0.5") == Rule("edges", edges=(0.5,))
    assert [g.name for g in strata(view.images, parse_rule("blur"))] == ["blur low", "blur medium", "blur high"]
    assert len(strata(view.images, parse_rule("noise:quantile:5"))) == 5
    assert [g.name for g in strata(view.images, parse_rule("level"))] == ["level mild", "level medium", "level severe"]
    unknown = view.images.assign(severity=np.nan)
    assert strata(unknown, Rule("severity")) == []
    assert len(strata(view.images.assign(severity=0.5), Rule("severity"))) == 1, "equal images are one group"


NONSENSE = ("", "quantile", "quantile:0", "edges:", "edges:0.6,0.3", "edges:nan", "fog", "level:2")


@pytest.mark.parametrize("text", NONSENSE)
def test_strata_that_make_no_sense_are_refused(text):
    with pytest.raises(UserError, match="is not a way to group images"):
        parse_rule(text)


def test_labels_stay_unique_when_titles_do_not(tmp_path):
    made = frames(tmp_path, count=5)
    runs = made.runs.assign(title="Spandrel")
    view = views(Frames(runs, made.scores, made.images, made.routing))[0]
    assert len(set(view.labels)) == 3 and all(label.startswith("Spandrel (") for label in view.labels)


@pytest.mark.skipif(not REALSR.is_dir(), reason="needs the RealSR test set beside the repository")
def test_means_of_the_published_osediff_rows_are_the_published_means(tmp_path):
    table = pd.read_csv(REALSR / "osediff_published.csv")
    made = frames(tmp_path, count=len(table), failed=False, names=list(table["image"]))
    scores = made.scores.set_index(["method", "image", "metric"])
    for metric in ("psnr", "ssim"):
        for image, value in zip(table["image"], table[metric], strict=True):
            scores.loc[("folder", image, metric), "value"] = value
    view = views(Frames(made.runs, scores.reset_index(), made.images, made.routing))[0]
    cells = compare(view, list(view.images.index), None)
    assert round(cells["OSEDiff PNGs", "psnr"].mean, 4) == 25.1511
    assert round(cells["OSEDiff PNGs", "ssim"].mean, 4) == 0.7341
