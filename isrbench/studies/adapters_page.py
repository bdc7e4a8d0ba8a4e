"""The page of the study of adapters: means of every arm, and what the pre-registered questions were answered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from tabulate import tabulate

from isrbench.harness.api.metric import Metric
from isrbench.studies.paired import PairedDifference
from isrbench.studies.verdict import margin, signed


def page(rows: pd.DataFrame, found: Sequence[PairedDifference], metrics: Sequence[Metric]) -> str:
    """Return the study as GitHub Markdown.

    Args:
        rows: As :func:`isrbench.studies.paired.compare_arms` takes them.
        found: What it returned.
        metrics: In the order to show them.
    """
    seeds, photos = sorted(rows["seed"].unique()), rows["photo"].nunique()
    lines = [f"{photos} photos, seeds {', '.join(map(str, seeds))}."]
    if len(seeds) == 1:
        lines += ["", "With one seed, intervals and p-values leave out how results vary from training to training."]
    lines += ["", "p after Holm's correction over all questions and strata of a metric, also those not asked yet."]
    lines += ["", "## Means", "", means(rows, metrics)]
    for metric in metrics:
        own = [difference for difference in found if difference.metric == metric.id]
        unit = f" {metric.unit}" if metric.unit else ""
        lines += ["", f"## Differences in {metric.title}{unit} {metric.direction.arrow}", "", differences(own, metric)]
        lines += ["", f"Equivalent: the 90% interval lies within ±{margin(metric):g}{unit}."]
    return "\n".join(lines) + "\n"


def means(rows: pd.DataFrame, metrics: Sequence[Metric]) -> str:
    """Return the mean of every arm at every level, over photos and seeds."""
    levels = sorted(rows["level"].unique())
    table = {key: np.mean(own["value"].to_numpy()) for key, own in rows.groupby(["arm", "metric", "level"])}
    body = []
    for arm in dict.fromkeys(rows["arm"]):
        cells = [" / ".join(f"{table[arm, m.id, level]:.{m.decimals}f}" for level in levels) for m in metrics]
        body.append([arm, *cells])
    names = " / ".join(f"{level:g}" for level in levels)
    headers = ["arm", *(f"{metric.title} at {names}" for metric in metrics)]
    return tabulate(body, headers=headers, tablefmt="pipe", disable_numparse=True)


def differences(found: Sequence[PairedDifference], metric: Metric) -> str:
    """Return one metric's differences: a row a question, a column a stratum."""
    strata = list(dict.fromkeys(difference.stratum for difference in found))
    by_place = {(own.question, own.stratum): own for own in found}
    body = []
    for question in dict.fromkeys(own.question for own in found):
        cells = [_cell(by_place[question, stratum], metric) for stratum in strata]
        body.append([f"{question.arm} - {question.against}", question.words, *cells])
    headers = ["arms", "question", *strata]
    return tabulate(body, headers=headers, tablefmt="pipe", disable_numparse=True)


def _cell(own: PairedDifference, metric: Metric) -> str:
    interval = f"[{signed(own.low, metric)}, {signed(own.high, metric)}]"
    p = "p < 0.001" if own.p_holm < 0.001 else f"p = {own.p_holm:.3f}"
    return f"{signed(own.mean, metric)} {interval} {own.finding.value}, {p}"
