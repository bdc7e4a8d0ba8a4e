"""Bradley-Terry scores by another way: a logistic regression on differences, by a general optimiser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize


def logistic_scores(votes: Sequence[tuple[int, int, float]], count: int) -> NDArray[np.float64]:
    """Scores with mean 0 of (first, second, how far the first won); the last competitor is the reference."""
    design = np.zeros((len(votes), count - 1))
    for row, (first, second, _) in enumerate(votes):
        for column, sign in ((first, 1.0), (second, -1.0)):
            if column < count - 1:
                design[row, column] += sign
    won = np.array([w for _, _, w in votes])

    def loss(weights: NDArray[np.float64]) -> float:
        chance = np.clip(1 / (1 + np.exp(-design @ weights)), 1e-15, 1 - 1e-15)
        return float(-(won * np.log(chance) + (1 - won) * np.log(1 - chance)).sum())

    weights = np.append(minimize(loss, np.zeros(count - 1), method="BFGS", options={"gtol": 1e-8}).x, 0.0)
    return weights - weights.mean()
