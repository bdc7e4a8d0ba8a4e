"""One set's runs side by side: the form that statistics, tables, plots and the page are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isrbench.harness.api.metric import Metric, Reference
from isrbench.harness.api.registry import metrics
from isrbench.harness.metrics.sets import DEFAULT_METRICS
from isrbench.harness.store.frames import Frames
from isrbench.reports.image_sets import SEVERITIES, PictureSet, picture_paths, same_pictures, severities


@dataclass(frozen=True)
class View:
    """All runs on one set of pictures. A method's label is its title, made unique where two runs share it."""

    dataset: str
    """The dataset's id."""
    title: str
    """The id; with the head of the content hash where runs of one id show different pictures."""
    labels: tuple[str, ...]
    """Methods, in order of their label."""
    places: dict[str, int]
    """Label -> place among all methods of all views: a method keeps its colour from one set to the next."""
    runs: pd.DataFrame
    """``Frames.runs`` of this set, indexed by label."""
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
    problems: pd.DataFrame
    """One row a label, metric and status ("failed", "unavailable") that left restored images without a value:
    label, metric, status, images (how many), error (the first one's)."""
    outputs: pd.DataFrame
    """image x label: path of the restored PNG, or None."""
    active: pd.DataFrame
    """image x label: mean active experts; NaN for methods that do not route."""
    routing: pd.DataFrame
    """``Frames.routing`` of this set with a label column."""
    estimator: str
    """What estimated the severities, or ``none``: one estimator, never a mixture."""
    notes: tuple[str, ...]
    """What was left out of the view, and why."""


def views(frames: Frames) -> list[View]:
    """One view for each set of pictures, in order of the dataset's id."""
    found = []
    places = {title: place for place, title in enumerate(sorted(set(frames.runs["title"])))}
    for dataset in sorted(frames.runs["dataset"].unique()):
        sets = same_pictures(frames.runs.loc[frames.runs["dataset"] == dataset, :], frames.images)
        for own in sets:
            title = dataset if len(sets) == 1 else f"{dataset} (pictures {own.key[:6] or 'unknown'})"
            found.append(_view(frames, dataset, title, own, places))
    return found


def _view(frames: Frames, dataset: str, title: str, pictures: PictureSet, places: dict[str, int]) -> View:
    runs = frames.runs[frames.runs["run"].isin(pictures.runs)].copy()
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

    def spread(rows: pd.DataFrame, column: str) -> pd.DataFrame:
        return rows.pivot(index="image", columns="label", values=column).reindex(index=ids, columns=list(labels))

    metrics, notes = _metrics(sorted(set(scores["metric"])))
    vectors, estimator, mixed = severities(images, runs.reset_index())
    facts = picture_paths(images).join(vectors).reindex(index=ids)
    by_metric: dict[str, pd.DataFrame] = {m.id: scores.loc[scores["metric"] == m.id, :] for m in metrics}
    return View(
        dataset=dataset,
        title=title,
        labels=labels,
        places=_places(runs, places),
        runs=runs,
        metrics=metrics,
        images=facts.loc[:, [*SEVERITIES, "level", "lr_path", "hr_path"]],
        values={m.id: spread(by_metric[m.id], "value").astype(float)
                for m in metrics if m.reference is not Reference.SET},
        set_values={m.id: by_metric[m.id].set_index("label")["value"].reindex(list(labels)).astype(float)
                    for m in metrics if m.reference is Reference.SET},
        status=spread(images, "status").fillna("absent"),
        errors=spread(images, "error"),
        reasons=_reasons(scores),
        problems=_problems(scores, images),
        outputs=spread(images, "output_path"),
        active=spread(images, "active_experts").astype(float),
        routing=labelled(frames.routing),
        estimator=estimator,
        notes=(*notes, *mixed),
    )  # fmt: skip


def _unique_labels(runs: pd.DataFrame) -> list[str]:
    """Titles; where two runs share one, the tail of the run's id tells them apart."""
    shared = runs["title"].duplicated(keep=False)
    return [
        f"{title} ({run.rpartition('-')[2]})" if twice else title
        for title, run, twice in zip(runs["title"], runs["run"], shared, strict=True)
    ]


def _places(runs: pd.DataFrame, places: dict[str, int]) -> dict[str, int]:
    """Places by title; a second run of a title is put behind all titles, so that it never shares a colour with it."""
    found: dict[str, int] = {}
    for label, title in runs["title"].items():
        place = places[title]
        while place in found.values():
            place += len(places)
        found[str(label)] = place
    return found


def _metrics(ids: Sequence[str]) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Declared metrics in their order, and a note on stored ones that no installed package declares."""
    order = {metric: place for place, metric in enumerate(DEFAULT_METRICS)}
    known = sorted((m for m in ids if m in metrics()), key=lambda m: (order.get(m, len(order)), m))
    unknown = [m for m in ids if m not in metrics()]
    notes = [f"left out: metric {m}, which no installed package declares (isrbench list metrics)" for m in unknown]
    return tuple(metrics().get(m) for m in known), tuple(notes)


def _reasons(scores: pd.DataFrame) -> dict[tuple[str, str], str]:
    """The first reason of each (label, metric) without a value."""
    words = {"no-reference": "no HR", "unavailable": "weights unavailable", "failed": "failed"}
    missing = scores[scores["status"] != "ok"]
    firsts = missing.groupby(["label", "metric"])["status"].first()
    found: dict[Any, Any] = firsts.to_dict()
    return {key: words.get(str(status), str(status)) for key, status in found.items()}


def _problems(scores: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Metrics that failed on images which were restored; a failed image is a failure of its own."""
    lost = set(map(tuple, images.loc[images["status"] != "ok", ["label", "image"]].values))
    rows: pd.DataFrame = scores.loc[scores["status"].isin(["failed", "unavailable"]), :]
    rows = rows.loc[np.array([k not in lost for k in zip(rows["label"], rows["image"], strict=True)], dtype=bool), :]
    grouped: Any = rows.groupby(["label", "metric", "status"], as_index=False)
    return grouped.agg(images=("image", "size"), error=("error", "first"))
