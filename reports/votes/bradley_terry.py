"""The model of Bradley and Terry (Biometrika 39, 1952): how often methods are preferred, as one number each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

GROUPS = 10
"""Images whose votes have to be there for an interval: fewer say little of other images."""
_STEPS = 100
_NORMAL = 1.959963984540054


@dataclass(frozen=True)
class Contests:
    """Votes on pairs, one a place of the arrays."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    """Which of the m competitors, (k,)."""
    won: NDArray[np.float64]
    """How far ``first`` won, (k,): 1, 0.5 for a tie, or 0."""
    group: NDArray[np.int64]
    """Votes of one group (an image) are not independent, (k,)."""


@dataclass(frozen=True)
class Fit:
    """Maximum-likelihood scores."""

    scores: NDArray[np.float64]
    """(m,), natural log-odds with mean 0: i is preferred to j with probability 1 / (1 + exp(s_j - s_i))."""
    covariance: NDArray[np.float64] | None
    """(m, m), robust to any dependence within a group; None for fewer than ``GROUPS`` groups."""

    @property
    def bounds(self) -> NDArray[np.float64] | None:
        """Return 95% intervals, (m, 2), normal approximation; None without a covariance."""
        if self.covariance is None:
            return None
        half = _NORMAL * np.sqrt(np.clip(np.diag(self.covariance), 0, None))
        return np.column_stack([self.scores - half, self.scores + half])


def fit(contests: Contests, count: int) -> Fit | None:
    """Fit scores by Newton's method; a tie counts as half a win for each.

    Args:
        contests: The votes.
        count: How many competitors, m; each takes part in a vote.

    Returns:
        The fit, or None where no finite scores are the most likely: some competitors never lost to the others
        (Ford, American Mathematical Monthly 64, 1957).
    """
    if not _comparable(contests, count):
        return None
    scores = np.zeros(count)
    for _ in range(_STEPS):
        gradient, information = _derivatives(contests, scores)
        step = np.linalg.pinv(information, hermitian=True) @ gradient.sum(axis=0)
        # A whole step may overshoot where one side wins nearly always: halved until the likelihood grows.
        size = 1.0
        while _likelihood(contests, scores + size * step) < _likelihood(contests, scores) - 1e-12 and size > 1e-6:
            size /= 2
        scores = scores + size * step
        scores -= scores.mean()
        if np.abs(step).max() < 1e-10:
            break
    gradient, information = _derivatives(contests, scores)
    names, place = np.unique(contests.group, return_inverse=True)
    if len(names) < GROUPS:
        return Fit(scores, None)
    sums = np.zeros((len(names), count))
    np.add.at(sums, place.reshape(-1), gradient)
    inverse = np.linalg.pinv(information, hermitian=True)
    # The sandwich of Liang and Zeger (Biometrika 73, 1986), with the usual correction for few groups.
    middle = sums.T @ sums * (len(names) / (len(names) - 1))
    return Fit(scores, inverse @ middle @ inverse)


def _comparable(contests: Contests, count: int) -> bool:
    beat = np.zeros((count, count), dtype=bool)
    beat[contests.first[contests.won > 0], contests.second[contests.won > 0]] = True
    beat[contests.second[contests.won < 1], contests.first[contests.won < 1]] = True
    parts, _ = connected_components(beat, directed=True, connection="strong")
    return parts == 1


def _chances(contests: Contests, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(scores[contests.second] - scores[contests.first]))


def _likelihood(contests: Contests, scores: NDArray[np.float64]) -> float:
    gap = scores[contests.first] - scores[contests.second]
    return float(-(np.logaddexp(0, -gap) * contests.won + np.logaddexp(0, gap) * (1 - contests.won)).sum())


def _derivatives(contests: Contests, scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the gradient of each vote's log-likelihood, (k, m), and the information of all, (m, m)."""
    chance = _chances(contests, scores)
    signs = np.zeros((len(chance), len(scores)))
    rows = np.arange(len(chance))
    signs[rows, contests.first], signs[rows, contests.second] = 1.0, -1.0
    gradient = signs * (contests.won - chance)[:, None]
    return gradient, signs.T @ (signs * (chance * (1 - chance))[:, None])
