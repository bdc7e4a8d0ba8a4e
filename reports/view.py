"""One dataset's runs side by side: the form that statistics, tables, plots and the page are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.frames import DIMENSIONS, Frames
from harness.metric import Metric, Reference
from harness.metrics import DEFAULT_METRICS, METRICS

_IMAGE_FACTS = ("severity", *DIMENSIONS, "level", "lr_path", "hr_path")


@dataclass(frozen=True)
class View:
    """All runs on one dataset. A method's label is its title, made unique where two runs share it."""

    dataset: str
    labels: tuple[str, ...]
    """Methods, in order of their label."""
    runs: pd.DataFrame
    """``Frames.runs`` of this dataset, indexed by label."""
    metrics: tuple[Metric, ...]
    """Metrics that any run was asked for: the default ones first, then by id."""
    images: pd.DataFrame
    """One row an image, indexed by image: severity, DIMENSIONS, level, lr_path, hr_path."""
    values: dict[str, pd.DataFrame]
    """Metric id -> image x label; NaN where there is no value."""
    set_values: dict[str, pd.Series]
    """Set metric id -> value by label; NaN where there is none."""
    status: pd.DataFrame
    """image x label: "ok", "failed", or "absent" where the run does not hold the image."""
    errors: pd.DataFrame
    """image x label: the traceback of a failed image, or None."""
    reasons: dict[tuple[str, str], str]
    """(label, metric id) -> why a value is missing, in a few words."""
    outputs: pd.DataFrame
    """image x label: path of the restored PNG, or None."""
    active: pd.DataFrame
    """image x label: mean active experts; NaN for methods that do not route."""
    routing: pd.DataFrame
    """``Frames.routing`` of this dataset with a label column."""

    @property
    def estimator(self) -> str:
        """What estimated the severities, or ``none``."""
        named = sorted({str(e) for e in self.runs["estimator"].dropna()})
        return ", ".join(named) or "none"


def views(frames: Frames) -> list[View]:
    """One view a dataset, in order of the dataset's id."""
    return [_view(frames, dataset) for dataset in sorted(frames.runs["dataset"].unique())]


def _view(frames: Frames, dataset: str) -> View:
    runs = frames.runs[frames.runs["dataset"] == dataset].copy()
    runs["label"] = _unique_labels(runs)
    runs = runs.sort_values("label").set_index("label")
    label_of = {run: label for label, run in runs["run"].items()}
    labels = tuple(str(label) for label in runs.index)

    def labelled(rows: pd.DataFrame) -> pd.DataFrame:
        chosen = rows[rows["run"].isin(label_of)].copy()
        chosen["label"] = chosen["run"].map(label_of)
        return chosen

    images, scores = labelled(frames.images), labelled(frames.scores)
    ids = sorted(images["image"].unique())

    def spread(column: str) -> pd.DataFrame:
        return images.pivot(index="image", columns="label", values=column).reindex(index=ids, columns=list(labels))

    metrics = tuple(METRICS.get(m) for m in _in_order(list(set(scores["metric"]))))
    per_image = [m for m in metrics if m.reference is not Reference.SET]
    values = {
        m.id: scores[scores["metric"] == m.id]
        .pivot(index="image", columns="label", values="value")
        .reindex(index=ids, columns=list(labels))
        .astype(float)
        for m in per_image
    }
    set_values = {
        m.id: scores[scores["metric"] == m.id].set_index("label")["value"].reindex(list(labels)).astype(float)
        for m in metrics
        if m.reference is Reference.SET
    }
    return View(
        dataset=dataset,
        labels=labels,
        runs=runs,
        metrics=metrics,
        images=images.groupby("image").first().reindex(index=ids, columns=list(_IMAGE_FACTS)),
        values=values,
        set_values=set_values,
        status=spread("status").fillna("absent"),
        errors=spread("error"),
        reasons=_reasons(scores),
        outputs=spread("output_path"),
        active=spread("active_experts").astype(float),
        routing=labelled(frames.routing),
    )


def _unique_labels(runs: pd.DataFrame) -> list[str]:
    """Titles; where two runs share one, the tail of the run's id tells them apart."""
    shared = runs["title"].duplicated(keep=False)
    return [
        f"{title} ({run.rpartition('-')[2]})" if twice else title
        for title, run, twice in zip(runs["title"], runs["run"], shared, strict=True)
    ]


def _in_order(metrics: Sequence[str]) -> list[str]:
    order = {metric: place for place, metric in enumerate(DEFAULT_METRICS)}
    return sorted(metrics, key=lambda m: (order.get(m, len(order)), m))


def _reasons(scores: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The first reason of each (label, metric) without a value."""
    words = {"no-reference": "no HR", "unavailable": "weights unavailable", "failed": "failed"}
    missing = scores[scores["status"] != "ok"]
    firsts = missing.groupby(["label", "metric"])["status"].first()
    found: dict[Any, Any] = firsts.to_dict()
    return {key: words.get(str(status), str(status)) for key, status in found.items()}
