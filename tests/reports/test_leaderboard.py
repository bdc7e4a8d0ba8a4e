"""Mean ranks over sets and metrics, against another way to compute them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from isrbench.reports.comparison import compare
from isrbench.reports.leaderboard import ALL, has_leaderboard, leaderboards
from isrbench.reports.statistics import bootstrap_means
from tests.support.report_frames import frames, of_methods, on_dataset, together


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("boards")
    first = frames(folder / "a", 12, failed=False)
    second = on_dataset(frames(folder / "b", 9, failed=False), "second", images=9, whole=9, content_hash="c" * 64)
    second = of_methods(second, "bicubic", "mor")
    names = {name: part.assign(run=part["run"] + "-2") for name, part in vars(second).items()}
    return compare(together(first, replace(second, **names))).sets


def board(sets, scope: str, group: str):
    return next(own for own in leaderboards(sets) if (own.scope, own.group) == (scope, group))


def ranked(aligned, seed: int, labels, ids):
    """(whole, drawn) mean ranks by scipy."""
    signs = [1 if id == "lpips" else -1 for id in ids]
    tables = [aligned.values[id][labels].to_numpy() for id in ids]
    drawn = bootstrap_means(np.column_stack(tables), seed=seed).reshape(-1, len(ids), len(labels))
    whole = np.mean([stats.rankdata(sign * t.mean(axis=0)) for sign, t in zip(signs, tables, strict=True)], axis=0)
    return whole, stats.rankdata(np.array(signs)[:, None] * drawn, axis=2).mean(axis=1)


def test_one_set(sets):
    sample = next(own for own in sets if own.aligned.title == "sample")
    place, labels = sets.index(sample), list(sample.aligned.labels)
    own = board(sets, "sample", "all")
    whole, drawn = ranked(sample.aligned, place, labels, ["psnr", "ssim", "lpips", "musiq"])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    found = {standing.method: (standing.rank, standing.low, standing.high) for standing in own.standings}
    for n, label in enumerate(labels):
        assert found[label] == pytest.approx((whole[n], low[n], high[n]))
    assert [s.rank for s in own.standings] == sorted(whole)
    assert own.metrics == ("LPIPS", "MUSIQ", "PSNR", "SSIM") and own.left_out == ()
    assert [title for title, _ in own.columns] == ["PSNR (dB) ↑", "SSIM ↑", "LPIPS ↓", "MUSIQ ↑"]
    best = own.standings[0].places[0]
    assert best.text == f"{sample.aligned.values['psnr'][own.standings[0].method].mean():.2f}" and best.rank == 1


def test_all_sets_rank_the_methods_that_ran_on_each(sets):
    own = board(sets, ALL, "all")
    parts = [ranked(s.aligned, n, ["Bicubic", "MoR-SR (tiny)"], ["psnr", "ssim", "lpips", "musiq"])
             for n, s in enumerate(sets)]  # fmt: skip
    low, high = np.quantile(np.mean([drawn for _, drawn in parts], axis=0), (0.025, 0.975), axis=0)
    bicubic = next(standing for standing in own.standings if standing.method == "Bicubic")
    assert (bicubic.rank, bicubic.low, bicubic.high) == pytest.approx(
        (np.mean([whole[0] for whole, _ in parts]), low[0], high[0])
    )
    assert own.standings[-1].method == "OSEDiff PNGs" and own.standings[-1].reason == "not run on second"
    assert own.standings[-1].rank is None and [title for title, _ in own.columns] == [s.aligned.title for s in sets]
    assert {place.rank for place in bicubic.places} == {None}, "mean ranks, not means"
    psnr = board(sets, ALL, "psnr")
    assert [higher for _, higher in psnr.columns] == [True, True] and psnr.standings[0].places[0].text.count(".") == 1


def test_a_metric_that_a_ranked_method_lacks_does_not_count(tmp_path):
    made = frames(tmp_path, 6, failed=False)
    gone = (made.scores["metric"] == "musiq") & (made.scores["method"] == "mor") & (made.scores["image"] == "scene_002")
    compared = compare(replace(made, scores=made.scores.assign(value=made.scores["value"].mask(gone)))).sets
    own = board(compared, "sample", "all")
    assert own.left_out == ("MUSIQ",) and "MUSIQ" not in own.metrics and len([s for s in own.standings if s.rank]) == 3
    alone = {standing.method: standing for standing in board(compared, "sample", "musiq").standings}
    assert alone["MoR-SR (tiny)"].reason == "no finite mean on sample" and alone["Bicubic"].rank is not None


def test_equal_means_share_a_rank_and_one_method_has_none(tmp_path):
    made = frames(tmp_path, 6, failed=False)
    same = made.scores.assign(value=made.scores["image"].astype("category").cat.codes.astype(float))
    own = board(compare(replace(made, scores=same)).sets, "sample", "all")
    assert {(s.rank, s.low, s.high) for s in own.standings} == {(2.0, 2.0, 2.0)}
    alone = compare(of_methods(made, "mor")).sets
    assert not has_leaderboard(alone)
    assert board(alone, "sample", "all").standings[0].reason == "no other method to rank it with"
