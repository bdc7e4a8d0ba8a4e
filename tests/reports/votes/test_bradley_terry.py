"""The model against an independent fit, closed forms and its own claims."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from isrbench.reports.votes.bradley_terry import Contests, fit
from tests.support.logistic import logistic_scores

STRENGTHS = np.array([-1.0, -0.2, 0.3, 0.9])


def drawn(count: int, seed: int, images: int = 40, ties: float = 0.15) -> Contests:
    """Votes as the model has them, on random pairs of the four strengths."""
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.choice(len(STRENGTHS), 2, replace=False) for _ in range(count)])
    chance = 1 / (1 + np.exp(STRENGTHS[pairs[:, 1]] - STRENGTHS[pairs[:, 0]]))
    won = (rng.random(count) < chance).astype(float)
    won[rng.random(count) < ties] = 0.5
    return Contests(pairs[:, 0], pairs[:, 1], won, rng.integers(0, images, count))


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_a_logistic_regression(seed):
    votes = drawn(120, seed)
    found = fit(votes, 4)
    expected = logistic_scores(list(zip(votes.first, votes.second, votes.won, strict=True)), 4)
    assert found.scores == pytest.approx(expected, abs=1e-5)


def test_two_competitors_have_the_closed_form():
    votes = Contests(np.zeros(10, int), np.ones(10, int), np.array([1.0] * 7 + [0.0] * 3), np.arange(10))
    found = fit(votes, 2)
    assert found.scores[0] - found.scores[1] == pytest.approx(np.log(7 / 3))
    # Each vote an image of its own: the sandwich is n / (n - 1) times the usual variance of a log-odds.
    variance = found.covariance[0, 0] + found.covariance[1, 1] - 2 * found.covariance[0, 1]
    assert variance == pytest.approx((1 / 7 + 1 / 3) * 10 / 9)


def test_covariance_is_the_sandwich_of_numerical_derivatives():
    votes = drawn(200, 3)
    found = fit(votes, 4)

    def negative(free: np.ndarray, chosen: np.ndarray) -> float:
        scores = np.append(free, -free.sum())  # mean 0, without a redundant parameter
        gap = (scores[votes.first] - scores[votes.second])[chosen]
        own = votes.won[chosen]
        return float((own * np.logaddexp(0, -gap) + (1 - own) * np.logaddexp(0, gap)).sum())

    everything = np.ones(len(votes.won), bool)
    at = minimize(negative, np.zeros(3), args=(everything,), tol=1e-12).x

    def slope(free: np.ndarray) -> np.ndarray:
        return approx_fprime(free, negative, 1e-5, everything)

    hessian = np.array([(slope(at + step) - slope(at - step)) / 2e-3 for step in 1e-3 * np.eye(3)])
    groups = np.unique(votes.group)
    by_group = np.array([approx_fprime(at, negative, 1e-6, votes.group == group) for group in groups])
    inverse = np.linalg.inv(hessian)
    expected = inverse @ (by_group.T @ by_group) @ inverse * len(groups) / (len(groups) - 1)
    assert found.covariance[:3, :3] == pytest.approx(expected, rel=0.02, abs=1e-3)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    truth = STRENGTHS - STRENGTHS.mean()
    held = []
    for seed in range(150):
        bounds = fit(drawn(200, seed, ties=0.0), 4).bounds
        held.append((bounds[:, 0] <= truth) & (truth <= bounds[:, 1]))
    assert 0.90 < np.mean(held) < 0.98


def test_there_are_no_scores_where_one_never_lost():
    never = Contests(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 1]), np.ones(4), np.arange(4))
    assert fit(never, 3) is None
    tied = Contests(np.array([0, 0, 1, 2]), np.array([1, 2, 2, 1]), np.array([1, 0.5, 1, 1]), np.arange(4))
    assert fit(tied, 3) is not None and fit(tied, 3).bounds is None, "four images are too few for an interval"
