"""Paired differences between adapters that were trained with several seeds and restored the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isrbench.harness.api.metric import Direction, Metric
from isrbench.reports.statistics import DRAWS, LEVEL, SEED, holm
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
    """Two-sided bootstrap p."""
    p_holm: float
    """After Holm's correction over all questions and strata of the metric."""
    finding: Finding


def compare_arms(
    rows: pd.DataFrame, questions: Sequence[Question], metrics: Sequence[Metric]
) -> list[PairedDifference]:
    """Answer every question, metric by metric, for each level and for all of them together.

    Differences are paired by image, level and seed. Seeds and images are resampled independently of each other, because
    the same images were restored with every seed (the pigeonhole bootstrap: Owen, Annals of Applied Statistics 1,
    2007). Over all levels an image counts with the mean of its levels.

    Args:
        rows: One row an arm, seed, level, photo and metric: arm, seed, level, photo, metric, value.
        questions: What to compare; one of whose arms there are no rows is left out.
        metrics: What to compare them in.

    Raises:
        ValueError: If two arms that are compared have other seeds or images.
    """
    known = set(rows["arm"])
    asked = [question for question in questions if {question.arm, question.against} <= known]
    found: list[PairedDifference] = []
    for metric in metrics:
        own = rows.loc[rows["metric"] == metric.id, :]
        answers = [_answer(question, metric, stratum, differences)
                   for question in asked for stratum, differences in _paired(own, question).items()]  # fmt: skip
        for answer, p_holm in zip(answers, holm([answer.p for answer in answers]), strict=True):
            found.append(_concluded(answer, p_holm, metric))
    return found


def _paired(rows: pd.DataFrame, question: Question) -> dict[str, NDArray[np.float64]]:
    """Return the differences (seeds, photos) by stratum."""
    keys = ["level", "seed", "photo"]
    arm, against = (
        rows[rows["arm"] == id].set_index(keys)["value"].sort_index() for id in (question.arm, question.against)
    )
    if not arm.index.equals(against.index) or arm.isna().any() or against.isna().any():
        raise ValueError(f"{question.arm} and {question.against} were not run over the same seeds and images")
    table = (arm - against).unstack("photo")
    levels = list(dict.fromkeys(table.index.get_level_values("level")))
    by_level = {f"level {level:g}": table.loc[level].to_numpy() for level in levels}
    return by_level | ({ALL: np.mean(list(by_level.values()), axis=0)} if len(levels) > 1 else {})


def resampled_means(differences: NDArray[np.float64], draws: int = DRAWS, seed: int = SEED) -> NDArray[np.float64]:
    """Return the means of resamples of seeds and of images, (draws,).

    Args:
        differences: (seeds, images), finite.
        draws: Number of resamples.
        seed: Seed.
    """
    rng = np.random.default_rng(seed)
    seeds, images = differences.shape
    rows = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    columns = rng.multinomial(images, np.full(images, 1 / images), size=draws) / images
    return np.einsum("ds,si,di->d", rows, differences, columns, optimize=True)


def _answer(question: Question, metric: Metric, stratum: str, differences: NDArray[np.float64]) -> PairedDifference:
    means = resampled_means(differences)
    low, inner_low, inner_high, high = np.quantile(means, (0.025, 0.05, 0.95, 0.975))
    beyond = 1 + min((means <= 0).sum(), (means >= 0).sum())
    seeds, images = differences.shape
    return PairedDifference(
        question=question, metric=metric.id, stratum=stratum, seeds=seeds, images=images,
        mean=float(differences.mean()), low=float(low), high=float(high), inner_low=float(inner_low),
        inner_high=float(inner_high), p=min(1.0, 2 * float(beyond) / (len(means) + 1)), p_holm=1.0,
        finding=Finding.OPEN,
    )  # fmt: skip


def _concluded(answer: PairedDifference, p_holm: float, metric: Metric) -> PairedDifference:
    wide = margin(metric)
    finding = Finding.OPEN
    if -wide < answer.inner_low and answer.inner_high < wide:
        finding = Finding.EQUIVALENT
    elif p_holm < LEVEL:
        finding = Finding.BETTER if (answer.mean > 0) == (metric.direction is Direction.HIGHER) else Finding.WORSE
    return replace(answer, p_holm=p_holm, finding=finding)
