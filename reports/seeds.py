"""Stochastic methods: how far runs under several seeds are apart, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isrbench.harness.api.metric import Direction, Metric
from isrbench.harness.api.records import Manifest
from isrbench.harness.store.frames import Frames
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.analysis import Analysis
from isrbench.reports.tables.table import Entry, Table

_NAME = "seeds"
_FIGURES = {
    "mean": "mean over seeds",
    "within_sd": "sd within an image",
    "mean_sd": "sd of the mean",
    "worst": "worst seed of each image",
}


@dataclass(frozen=True)
class Spread:
    """One method's values of one metric under several seeds."""

    method: str
    metric: str
    n: int
    """Images."""
    seeds: int
    mean: float
    """Over images and seeds."""
    within_sd: float
    """Standard deviation among the seeds of one image (n - 1), pooled over images: root of the mean variance."""
    mean_sd: float
    """Standard deviation of the mean over images, among the seeds."""
    worst: float
    """Mean over images of the worst value among the seeds."""


def without_repeats(frames: Frames) -> tuple[Frames, dict[str, pd.DataFrame]]:
    """Set apart the runs that repeat another run of ``frames`` under another seed: a method counts once.

    Returns:
        The other runs, and by their id the scores of their repeats: run, image, metric, value.
    """
    manifests: list[Manifest] = list(frames.runs["manifest"]) if "manifest" in frames.runs else []
    known = {manifest.run for manifest in manifests}
    base = {m.run: m.repeat_of for m in manifests if m.repeat_of in known}
    if not base:
        return frames, {}
    repeated: pd.DataFrame = frames.scores.loc[frames.scores["run"].isin(list(base)), :]
    stands_for = pd.Series([base[run] for run in repeated["run"]], index=repeated.index)
    found: dict[str, pd.DataFrame] = {run: repeated.loc[stands_for == run, :] for run in sorted(set(base.values()))}

    def others(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.loc[~rows["run"].isin(list(base)), :].reset_index(drop=True)

    return Frames(*(others(part) for part in vars(frames).values())), found


def spread(values: NDArray[np.float64], higher: bool) -> tuple[float, float, float, float]:
    """Return mean, sd within an image, sd of the mean and mean of the worst.

    Args:
        values: (images, seeds), finite, two seeds at least.
        higher: Whether larger values are better.
    """
    worst = values.min(axis=1) if higher else values.max(axis=1)
    within = float(np.sqrt(values.var(axis=1, ddof=1).mean()))
    return float(values.mean()), within, float(values.mean(axis=0).std(ddof=1)), float(worst.mean())


def analyse(aligned: AlignedRuns, repeats: Mapping[str, pd.DataFrame]) -> tuple[Analysis, ...]:
    """Return how far the seeds of each method are apart; nothing where no run was repeated."""
    run_of = {str(label): str(run) for label, run in aligned.runs["run"].items()}
    labels = [label for label in aligned.labels if run_of[label] in repeats]
    if not labels:
        return ()
    found: dict[tuple[str, str], Spread] = {}
    for label in labels:
        for metric in (m for m in aligned.metrics if m.id in aligned.values):
            own = _values(aligned, label, metric.id, repeats[run_of[label]])
            if own.size and np.isfinite(own).all():
                images, seeds = own.shape
                figures = spread(own, metric.direction is Direction.HIGHER)
                found[label, metric.id] = Spread(label, metric.id, images, seeds, *figures)
    metrics = tuple(m for m in aligned.metrics if any(m.id == metric for _, metric in found))
    counts = {label: repeats[run_of[label]]["run"].nunique() + 1 for label in labels}
    rows = pd.DataFrame([vars(own) for own in found.values()])
    if len(rows):
        rows.insert(0, "dataset", aligned.title)
    table = Table(
        title=f"{aligned.title}: how far are the seeds apart?",
        caption=(
            f"Runs of one method that differ in their seed alone ({', '.join(f'{k}: {n}' for k, n in counts.items())} "
            "seeds). All other tables show one of them. A difference between methods that is smaller than the sd of "
            "the mean may be one of seeds."
        ),
        metrics=metrics,
        n=len(aligned.images),
        rows=tuple(
            (f"{label}: {words}", tuple(_entry(found.get((label, m.id)), figure, m) for m in metrics))
            for label in labels
            for figure, words in _FIGURES.items()
        ) if metrics else (),
        estimator=aligned.estimator,
        corner="Method and figure",
    )  # fmt: skip
    return (Analysis(_NAME, table, rows),)


def _values(aligned: AlignedRuns, label: str, metric: str, repeats: pd.DataFrame) -> NDArray[np.float64]:
    """(images, seeds), the table's run first; NaN where a run has no value."""
    own: Any = repeats[(repeats["metric"] == metric) & (repeats["image"] != "")]
    wide: pd.DataFrame = own.pivot(index="image", columns="run", values="value")
    wide = wide.reindex(index=aligned.images.index, columns=sorted(repeats["run"].unique()))
    return np.column_stack([aligned.values[metric][label], wide]).astype(float)


def _entry(own: Spread | None, figure: str, metric: Metric) -> Entry:
    if own is None:
        return Entry("–", note="a run has no finite value of an image")
    value = getattr(own, figure)
    digits = metric.decimals + (1 if figure.endswith("sd") else 0)
    return Entry(f"{value:.{digits}f}", note=f"{own.seeds} seeds, {own.n} images", value=value)
