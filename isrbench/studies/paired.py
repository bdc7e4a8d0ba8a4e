"""Paired differences between adapters that were trained with several seeds and restored the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from isrbench.harness.api.metric import Direction, Metric
from isrbench.harness.errors import UserError
from isrbench.reports.statistics import LEVEL, holm
from isrbench.studies.verdict import margin

ALL = "all"
"""The stratum of all levels together."""


@dataclass(frozen=True)
class Question:
    """Which two arms are compared, and what for."""

    arm: str
    against: str
    words: str


class Finding(Enum):
    """What a difference says."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    """The whole 90% interval lies within the margin: two one-sided tests at 5%."""
    OPEN = "not told apart"


@dataclass(frozen=True)
class PairedDifference:
    """One question's answer in one metric over one stratum."""

    question: Question
    metric: str
    stratum: str
    seeds: int
    images: int
    mean: float
    """Of the arm less that of the other."""
    low: float
    high: float
    """95% interval."""
    inner_low: float
    inner_high: float
    """90% interval, for equivalence."""
    p: float
    """Two-sided."""
    p_holm: float
    """After Holm's correction over all questions and strata of the metric, asked yet or not."""
    finding: Finding


def compare_arms(
    rows: pd.DataFrame, questions: Sequence[Question], metrics: Sequence[Metric]
) -> list[PairedDifference]:
    """Answer every question, metric by metric, for each level and for all of them together.

    Differences are paired by photo, level and seed; see :func:`uncertainty`. Over all levels a photo counts with the
    mean of its levels. Holm's correction is over all questions and strata of a metric.

    Args:
        rows: One row an arm, seed, level, photo and metric: arm, seed, level, photo, metric, value.
        questions: What to compare; one of whose arms there are no rows is left out.
        metrics: What to compare them in.

    Raises:
        UserError: If two arms that are compared have other seeds or photos, or a value is missing.
    """
    known = set(rows["arm"])
    asked = [question for question in questions if {question.arm, question.against} <= known]
    found: list[PairedDifference] = []
    for metric in metrics:
        own = rows.loc[rows["metric"] == metric.id, :]
        answers = [_answer(question, metric, stratum, differences)
                   for question in asked for stratum, differences in _paired(own, question).items()]  # fmt: skip
        # The family is that of all questions, asked yet or not: a p must not depend on which arms are done.
        family = len(questions) * len({answer.stratum for answer in answers})
        corrected = holm([answer.p for answer in answers] + [1.0] * (family - len(answers)))
        found += [_concluded(answer, p, metric) for answer, p in zip(answers, corrected, strict=False)]
    return found


def _paired(rows: pd.DataFrame, question: Question) -> dict[str, NDArray[np.float64]]:
    """Return the differences (seeds, photos) by stratum."""
    keys = ["level", "seed", "photo"]
    arm, against = (
        rows[rows["arm"] == id].set_index(keys)["value"].sort_index() for id in (question.arm, question.against)
    )
    if not arm.index.equals(against.index) or arm.isna().any() or against.isna().any():
        raise UserError(
            f"{question.arm} and {question.against} were not run over the same seeds and photos, or lack values",
            "run the study again with all arms and seeds: what is done is not computed again",
        )
    table = (arm - against).unstack("photo")
    levels = list(dict.fromkeys(table.index.get_level_values("level")))
    by_level = {f"level {level:g}": table.loc[level].to_numpy() for level in levels}
    return by_level | ({ALL: np.mean(list(by_level.values()), axis=0)} if len(levels) > 1 else {})


@dataclass(frozen=True)
class Uncertainty:
    """The mean of differences and how far it may be from that over all seeds and photos."""

    mean: float
    error: float
    """Standard error."""
    freedom: int
    """Degrees of freedom of Student's t."""

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval that holds the mean with the probability ``level``."""
        reach = float(stats.t.ppf(0.5 + level / 2, self.freedom)) * self.error
        return self.mean - reach, self.mean + reach

    @property
    def p(self) -> float:
        """Return the two-sided p of a mean of 0."""
        if self.error == 0:
            return float(self.mean == 0)
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.freedom))


def uncertainty(differences: NDArray[np.float64]) -> Uncertainty:
    """Return the mean of differences whose rows share a seed and whose columns share a photo.

    The variance is that of the seeds' means over their number plus that of the photos' means over theirs; what is left
    of single cells is in both. Degrees of freedom are those of the smaller number. Both err on the side of caution: a
    bootstrap of three seeds would not know that it has seen three. One seed gives no variance of seeds: then the
    interval is about photos alone.

    Args:
        differences: (seeds, photos), finite; two photos or more.
    """
    parts = [(differences.mean(1 - axis), count) for axis, count in enumerate(differences.shape) if count > 1]
    variance = sum(float(means.var(ddof=1)) / count for means, count in parts)
    return Uncertainty(float(differences.mean()), variance**0.5, min(count for _, count in parts) - 1)


def _answer(question: Question, metric: Metric, stratum: str, differences: NDArray[np.float64]) -> PairedDifference:
    seeds, images = differences.shape
    own = uncertainty(differences)
    (low, high), (inner_low, inner_high) = own.interval(0.95), own.interval(0.9)
    return PairedDifference(
        question=question, metric=metric.id, stratum=stratum, seeds=seeds, images=images, mean=own.mean, low=low,
        high=high, inner_low=inner_low, inner_high=inner_high, p=own.p, p_holm=1.0, finding=Finding.OPEN,
    )  # fmt: skip


def _concluded(answer: PairedDifference, p_holm: float, metric: Metric) -> PairedDifference:
    wide = margin(metric)
    finding = Finding.OPEN
    if -wide < answer.inner_low and answer.inner_high < wide:
        finding = Finding.EQUIVALENT
    elif p_holm < LEVEL:
        finding = Finding.BETTER if (answer.mean > 0) == (metric.direction is Direction.HIGHER) else Finding.WORSE
    return replace(answer, p_holm=p_holm, finding=finding)
