"""Runs aligned image by image: the form that statistics, tables, figures and the page are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isrbench.harness.api.metric import Metric, Reference
from isrbench.harness.api.records import Failure, ImageStatus, ScoreStatus
from isrbench.harness.api.registry import metrics
from isrbench.harness.metrics.sets import DEFAULT_METRICS
from isrbench.harness.metrics.weights import without_weights
from isrbench.harness.store.frames import Frames
from isrbench.harness.store.state import choices, told_apart
from isrbench.reports.image_facts import SEVERITIES, image_paths, severities
from isrbench.reports.image_sets import ImageSet, image_sets
from isrbench.reports.unproven import marked

ABSENT = "absent"
"""Status of an image that a run does not have."""

_REASONS = {
    ScoreStatus.NO_REFERENCE: "no HR",
    ScoreStatus.UNAVAILABLE: "weights unavailable",
    ScoreStatus.FAILED: "failed",
}
_SHIPPED = {"tiny", "tiny-gen"}
"""Words of a run's variant that say that it ran on weights which ship."""
_TINY = (
    "{}: runs on the tiny weights that ship with isrbench to try it out; its results are not those of the published "
    "method"
)


@dataclass(frozen=True)
class FailedImage:
    """An image that a method failed on."""

    label: str
    image: str
    failure: Failure


@dataclass(frozen=True)
class MissingScores:
    """A metric that has no value on images that were restored."""

    label: str
    metric: str
    """The metric's title, or its id where no installed package declares it."""
    status: str
    images: int
    """How many."""
    failure: Failure
    """Of the first one."""


@dataclass(frozen=True)
class AlignedRuns:
    """All runs on one set of images. A method's label is its title, made unique where two runs share it."""

    dataset: str
    """The dataset's id."""
    title: str
    """What the set is called: see :attr:`isrbench.reports.image_sets.ImageSet.title`."""
    partial: bool
    """Whether the images are a part of the dataset's."""
    labels: tuple[str, ...]
    """Methods, in order of their label."""
    places: dict[str, int]
    """Label -> place among all methods of all sets: a method keeps its colour from one set to the next."""
    runs: pd.DataFrame
    """``Frames.runs`` of this set, indexed by label."""
    metrics: tuple[Metric, ...]
    """Metrics that any run was asked for: the default ones first, then by id."""
    blank: tuple[Metric, ...]
    """Metrics that runs were asked for and that have no value at all, for want of weights: a note names them."""
    images: pd.DataFrame
    """One row an image, indexed by image: severity, DIMENSIONS, hr_severity, level, lr_path, hr_path."""
    values: dict[str, pd.DataFrame]
    """Metric id -> image x label; NaN where there is no value."""
    set_values: dict[str, pd.Series]
    """Set metric id -> value by label, over all images of the run; NaN where there is none."""
    status: pd.DataFrame
    """image x label: "ok", "failed", "oom", or ABSENT where the run does not have the image."""
    failed: tuple[FailedImage, ...]
    """By label and image."""
    missing: tuple[MissingScores, ...]
    """By label, metric and status."""
    reasons: dict[tuple[str, str], str]
    """(label, metric id) -> why a value is missing, in a few words."""
    outputs: pd.DataFrame
    """image x label: path of the restored PNG, or None."""
    active: pd.DataFrame
    """image x label: mean active experts; NaN for methods that do not route."""
    routing: pd.DataFrame
    """``Frames.routing`` of this set with a label column."""
    estimator: str
    """What estimated the severities, or ``none``: one estimator, never a mixture."""
    notes: tuple[str, ...]
    """What was left out, what is compared separately, and what to know about a method."""


def align(frames: Frames, *, common: bool = False, titles: Iterable[str] = ()) -> list[AlignedRuns]:
    """Align runs, one value for each set of images, in order of the dataset's id.

    Args:
        frames: Rows of the runs.
        common: Compare on the images that all runs of a dataset share.
        titles: Of methods that count for ``places`` too, so that a method has its colour whichever others are shown.
    """
    places = {title: place for place, title in enumerate(sorted({*frames.runs["title"], *titles}))}
    return [_align(frames, own, places) for own in image_sets(frames.runs, frames.images, common=common)]


def on_tiny_weights(variant: str) -> bool:
    """Return whether a run's variant says that it ran on the tiny weights that ship."""
    return bool(_SHIPPED & set(variant.split(", ")))


def _align(frames: Frames, own: ImageSet, places: dict[str, int]) -> AlignedRuns:
    runs = frames.runs[frames.runs["run"].isin(own.runs)].copy()
    runs["label"] = _unique_labels(runs)
    runs = runs.sort_values("label").set_index("label")
    label_of = {run: label for label, run in runs["run"].items()}
    labels = tuple(str(label) for label in runs.index)

    def labelled(rows: pd.DataFrame) -> pd.DataFrame:
        chosen = rows[rows["run"].isin(label_of)].copy()
        if own.shared is not None:
            chosen = chosen[chosen["image"].isin([*own.shared, ""])]
        chosen["label"] = chosen["run"].map(label_of)
        return chosen

    images, scores = labelled(frames.images), labelled(frames.scores)
    ids = sorted(images["image"].unique())

    def spread(rows: pd.DataFrame, column: str) -> pd.DataFrame:
        return rows.pivot(index="image", columns="label", values=column).reindex(index=ids, columns=list(labels))

    declared, undeclared = _metrics(sorted(set(scores["metric"])))
    blank = _without_weights(declared, scores)
    scored = tuple(m for m in declared if m not in blank)
    metrics, unproven = marked(scored, runs["manifest"])
    absent = [without_weights([m.id for m in blank])] if blank else []
    computed: pd.DataFrame = scores.loc[~scores["metric"].isin([m.id for m in blank]), :]
    vectors, estimator, mixed = severities(images, runs.reset_index())
    facts = image_paths(images).join(vectors).reindex(index=ids)
    by_metric: dict[str, pd.DataFrame] = {m.id: scores.loc[scores["metric"] == m.id, :] for m in metrics}
    tiny = [_TINY.format(label) for label, row in runs.iterrows() if on_tiny_weights(row["variant"])]
    return AlignedRuns(
        dataset=own.dataset,
        title=own.title,
        partial=own.partial,
        labels=labels,
        places=_places(runs, places),
        runs=runs,
        metrics=metrics,
        blank=blank,
        images=facts.loc[:, [*SEVERITIES, "level", "lr_path", "hr_path"]],
        values={m.id: spread(by_metric[m.id], "value").astype(float)
                for m in metrics if m.reference is not Reference.SET},
        set_values={m.id: by_metric[m.id].set_index("label")["value"].reindex(list(labels)).astype(float)
                    for m in metrics if m.reference is Reference.SET},
        status=spread(images, "status").fillna(ABSENT),
        failed=_failed_images(images),
        missing=_missing_scores(computed, images),
        reasons=_reasons(scores),
        outputs=spread(images, "output_path"),
        active=spread(images, "active_experts").astype(float),
        routing=labelled(frames.routing),
        estimator=estimator,
        notes=(*own.notes, *tiny, *absent, *unproven, *undeclared, *mixed),
    )  # fmt: skip


def _unique_labels(runs: pd.DataFrame) -> list[str]:
    """Return titles; where runs share one, options or seeds that differ tell them apart, or the tail of their ids."""
    options = {run: choices(manifest) for run, manifest in zip(runs["run"], runs["manifest"], strict=True)}
    differ: dict[str, str] = {}
    for _, own in runs.groupby("title"):
        differ |= told_apart({run: options[run] for run in own["run"]})
    named = [f"{title} ({differ[run]})" if differ[run] else title
             for title, run in zip(runs["title"], runs["run"], strict=True)]  # fmt: skip
    return [
        f"{label} ({run.rpartition('-')[2]})" if named.count(label) > 1 else label
        for label, run in zip(named, runs["run"], strict=True)
    ]


def _places(runs: pd.DataFrame, places: dict[str, int]) -> dict[str, int]:
    """Return places by title; a second run of a title comes behind all titles, so that the two differ in colour."""
    found: dict[str, int] = {}
    for label, title in runs["title"].items():
        place = places[title]
        while place in found.values():
            place += len(places)
        found[str(label)] = place
    return found


def _metrics(ids: Sequence[str]) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Return declared metrics in their order, and a note on stored ones that no installed package declares."""
    found = {m: metrics().find(m) for m in ids}  # one whose package is broken counts as undeclared
    known = [metric for metric in found.values() if metric is not None]
    unknown = [m for m, metric in found.items() if metric is None]
    notes = [f"left out: metric {m}, which no installed package declares (isrbench list metrics)" for m in unknown]
    return in_order(known), tuple(notes)


def in_order(found: Iterable[Metric]) -> tuple[Metric, ...]:
    """Return metrics as tables show them: the default ones first, then by id."""
    order = {metric: place for place, metric in enumerate(DEFAULT_METRICS)}
    return tuple(sorted(found, key=lambda m: (order.get(m.id, len(order)), m.id)))


def _without_weights(declared: Sequence[Metric], scores: pd.DataFrame) -> tuple[Metric, ...]:
    """Return metrics all of whose scores lack weights; none where that would leave no metric at all."""
    statuses = scores.groupby("metric")["status"].agg(set)
    found = tuple(m for m in declared if statuses[m.id] == {ScoreStatus.UNAVAILABLE.value})
    return found if len(found) < len(declared) else ()


def _reasons(scores: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the first reason of each (label, metric) without a value."""
    missing = scores[scores["status"] != ScoreStatus.OK.value]
    firsts = missing.groupby(["label", "metric"])["status"].first()
    found: dict[Any, Any] = firsts.to_dict()
    return {key: _REASONS[ScoreStatus(status)] for key, status in found.items()}


def _failed_images(images: pd.DataFrame) -> tuple[FailedImage, ...]:
    rows = images.loc[images["status"] != ImageStatus.OK.value, :].sort_values(["label", "image"])
    return tuple(FailedImage(row["label"], row["image"], _failure(row)) for row in rows.to_dict("records"))


def _missing_scores(scores: pd.DataFrame, images: pd.DataFrame) -> tuple[MissingScores, ...]:
    """Return metrics that failed on images which were restored; a failed image is a failure of its own."""
    lost = set(map(tuple, images.loc[images["status"] != ImageStatus.OK.value, ["label", "image"]].values))
    bad = [ScoreStatus.FAILED.value, ScoreStatus.UNAVAILABLE.value]
    rows: pd.DataFrame = scores.loc[scores["status"].isin(bad), :]
    rows = rows.loc[np.array([k not in lost for k in zip(rows["label"], rows["image"], strict=True)], dtype=bool), :]
    groups: Any = rows.groupby(["label", "metric", "status"])
    found = []
    for (label, metric, status), own in groups:
        declared = metrics().find(str(metric))
        title = declared.title if declared else metric
        found.append(MissingScores(label, title, ScoreStatus(status).value, len(own), _failure(own.iloc[0].to_dict())))
    return tuple(found)


def _failure(row: dict[Any, Any]) -> Failure:
    # pandas holds a missing text as NaN.
    texts = {name: row[name] for name in ("message", "fix", "traceback") if isinstance(row[name], str)}
    return Failure(**{"message": "", **texts})
