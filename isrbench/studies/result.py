"""What a routing study found: the arms' rows compared, image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isrbench.harness.api.metric import Metric
from isrbench.harness.engine.evaluate import RunResult
from isrbench.reports.comparison import compare
from isrbench.studies.arms import Arm
from isrbench.studies.verdict import Difference, sentence, summary

_NAMES = {"group": "stratum", "difference_low": "low", "difference_high": "high"}
_NUMBERS = ["mean", "difference", "low", "high"]


@dataclass(frozen=True, repr=False)
class RoutingStudy:
    """The arms of a routing study, and what they say."""

    title: str
    """The method as tables call it, and the set: ``MoR-SR (tiny) on sample``."""
    folder: Path
    """Where study.md, study.json and the figure are."""
    arms: tuple[Arm, ...]
    """What was run, own severity first."""
    runs: Mapping[str, RunResult]
    """Arm -> its run, stored like any other."""
    table: pd.DataFrame
    """One row a metric, stratum and arm: arm, stratum ("all" or a stratum's name), metric, mean (NaN where an image has
    no value), difference (to own severity, image by image; NaN for own), low, high (its bootstrap 95% interval), n."""
    metrics: tuple[Metric, ...]
    """The metrics of the table."""
    verdict: str
    """One sentence that says whether routing helps."""
    sentences: tuple[str, ...]
    """What was found, metric by metric."""
    notes: tuple[str, ...]
    """What to know about the numbers, and which metrics have none."""

    @property
    def failed(self) -> int:
        """Images that failed, or have a failed score, in any of the runs."""
        return sum(run.failed for run in self.runs.values())

    def rows(self) -> list[dict[str, Any]]:
        """Return the table as values for JSON: a list of {arm, stratum, metric, mean, difference, low, high, n}."""
        return self.table.astype(object).where(self.table.notna(), None).to_dict("records")

    def __repr__(self) -> str:
        return f"<RoutingStudy {self.title}: {len(self.arms)} arms. {self.verdict}>"


def conclude(title: str, folder: Path, arms: Sequence[Arm], runs: Mapping[str, RunResult], strata: str) -> RoutingStudy:
    """Compare the arms with own severity.

    Args:
        title: What tables call the method.
        folder: The study's folder.
        arms: What was run, own severity first.
        runs: Arm -> its run.
        strata: How images are grouped; see :func:`isrbench.reports.strata.parse_rule`.
    """
    (compared,) = compare(list(runs.values()), baseline=runs["own"].run, strata=strata).sets
    metrics = compared.aligned.metrics
    arm_of = {run.run: arm for arm, run in runs.items()}
    by_label = {label: arm_of[run] for label, run in compared.aligned.runs["run"].items()}
    long = compared.long_form().drop(columns=["low", "high"]).rename(columns=_NAMES)
    orders = {
        "metric": [metric.id for metric in metrics],
        "stratum": ["all", *(group.name for group in compared.strata)],
        "arm": [arm.id for arm in arms],
    }
    table = long.assign(arm=long["method"].map(by_label)).astype(dict.fromkeys(_NUMBERS, float))
    if len(compared.strata) == 1:  # it is all images once more
        table = table[table["stratum"] == "all"]
    table = table.sort_values(list(orders), key=lambda column: column.map(orders[str(column.name)].index))
    blank = table[(table["stratum"] == "all") & (table["arm"] == "own") & table["mean"].isna()]
    lacking = [f"no {metric}: {why}" for metric, why in zip(blank["metric"], blank["reason"], strict=True)]
    # What holds for the method is said once, not again for every arm.
    own_label = next(label for label, arm in by_label.items() if arm == "own")
    others = tuple(f"{label}: " for label in by_label if label != own_label)
    notes = [note for note in compared.aligned.notes if not note.startswith(others)]
    found = [(metric, own) for metric in metrics if (own := _differences(table, metric, "all"))]
    return RoutingStudy(
        title=f"{title} on {compared.aligned.title}",
        folder=folder,
        arms=tuple(arms),
        runs=runs,
        table=table.loc[:, ["arm", "stratum", "metric", *_NUMBERS, "n"]].reset_index(drop=True),
        metrics=metrics,
        verdict=summary(found),
        sentences=tuple(
            sentence(metric, own, {group.name: _differences(table, metric, group.name) for group in compared.strata})
            for metric, own in found
        ),
        notes=(*notes, *lacking),
    )


def _differences(table: pd.DataFrame, metric: Metric, stratum: str) -> dict[str, Difference]:
    """Return the differences of the arms that have one, over the images of a stratum."""
    rows = table.loc[(table["metric"] == metric.id) & (table["stratum"] == stratum), :].dropna(subset=["difference"])
    return {row["arm"]: Difference(row["difference"], row["low"], row["high"]) for row in rows.to_dict("records")}
