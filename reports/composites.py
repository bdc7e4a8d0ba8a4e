"""Composites: columns that are derived from stored rows when a report is made, and never stored.

The NTIRE score is a value of every image, so it is treated as a metric is. The mobile score and the mean rank are about
a group of images; their cells are made from those of the metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.harness.api.records import Manifest
from isrbench.harness.api.registry import metrics, unknown_name
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.sets import METRIC_SETS, expand
from isrbench.reports.aligned import AlignedRuns, on_tiny_weights
from isrbench.reports.costs import condition
from isrbench.reports.statistics import Cell, Cells, bootstrap_means

NTIRE_PARTS = ("lpips", "dists", "clipiqa", "maniqa", "musiq", "niqe")
"""Metrics of the NTIRE score. Its MANIQA is the one trained on KonIQ-10k (pyiqa's ``maniqa``)."""
OSEDIFF = "osediff"
"""Method that the mobile score's speed-up refers to."""


def _derived(*_: Any, **__: Any) -> Any:
    """Refuse to compute a composite from images.

    Raises:
        UserError: Always.
    """
    raise UserError(
        "a composite is derived from stored scores, not computed from images",
        f"isrbench eval --metrics {','.join(NTIRE_PARTS)}, then isrbench report",
    )


_SOURCE = "stored scores"
MEAN_RANK = "mean-rank"
NTIRE = Metric(
    id="ntire",
    title="NTIRE score",
    direction=Direction.HIGHER,
    reference=Reference.FULL,
    colour=_SOURCE,
    definition="(1 - LPIPS) + (1 - DISTS) + CLIPIQA + MANIQA (KonIQ) + MUSIQ / 100 + max(0, (10 - NIQE) / 10), of "
    "each image",
    build=_derived,
)
"""The score of NTIRE's challenges on perceptual super-resolution, here after the one of 2026 on mobile real-world
super-resolution (arXiv 2604.17306; README and ``eval_without_x1.py`` of
jiatongli2024/NTIRE2026_Mobile_RealWorld_ImageSR). Its script puts the means over all images into the formula; the mean
of the images' scores equals that unless an image's NIQE is above 10."""
MOBILE = Metric(
    id="mobile",
    title="Mobile score",
    direction=Direction.HIGHER,
    reference=Reference.SET,
    colour=_SOURCE,
    definition="2^S (t_OSEDiff / t)^0.2 of the mean NTIRE score S and the latency t, both latencies measured for one "
    "LR size on one device and machine",
    build=_derived,
    decimals=2,
)
"""Final score of the same challenge, which measured latencies on a phone for 128x128 LRs."""


def with_ntire(aligned: AlignedRuns) -> AlignedRuns:
    """Return the runs with the NTIRE score of every image as one more metric, if any run was asked for all its parts.

    A value is missing where a part's is, and the reason names the part.
    """
    titles = {metric.id: metric.title for metric in aligned.metrics if metric.id in aligned.values}
    if not titles.keys() >= set(NTIRE_PARTS):
        return aligned
    part = {id: aligned.values[id] for id in NTIRE_PARTS}
    score = (
        (1 - part["lpips"]) + (1 - part["dists"]) + part["clipiqa"] + part["maniqa"] + part["musiq"] / 100
        + ((10 - part["niqe"]) / 10).clip(lower=0)
    )  # fmt: skip
    restored = aligned.status == "ok"
    reasons = {}
    for label in aligned.labels:
        lacking = [id for id in NTIRE_PARTS if part[id].loc[restored[label], label].isna().any()]
        if lacking:
            why = [f"{titles[id]} ({aligned.reasons.get((label, id), 'not computed')})" for id in lacking]
            reasons[label, NTIRE.id] = f"lacks {', '.join(why)}"
    return replace(
        aligned,
        metrics=(*aligned.metrics, NTIRE),
        values={**aligned.values, NTIRE.id: score},
        reasons={**aligned.reasons, **reasons},
    )


def ranked_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of metrics to rank methods over, of ids and names of sets.

    Metrics of whole sets (FID) are left out: they have no value of an image that could be resampled.

    Raises:
        UserError: If a metric is unknown or no metric of images is left.
    """
    ids = expand(names)
    unknown = next((id for id in ids if metrics().find(id) is None), None)
    if unknown is not None:
        raise UserError(unknown_name("metric", unknown, sorted({*metrics(), *METRIC_SETS})), "isrbench list metrics")
    chosen = tuple(id for id in ids if metrics().get(id).reference is not Reference.SET)
    if ids and not chosen:
        raise UserError("a mean rank needs metrics that score images", "isrbench report --rank-over @osediff")
    return chosen


def group_composites(aligned: AlignedRuns, over: Sequence[str]) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Return the composites of groups of images that these runs have columns for, and a note on what is left out.

    Args:
        aligned: Of :func:`with_ntire`.
        over: Of :func:`ranked_metrics`; empty for no mean rank.
    """
    columns, notes = [], []
    if NTIRE in aligned.metrics and _references(aligned):
        columns.append(MOBILE)
    elif NTIRE in aligned.metrics:
        notes.append(
            f"left out: {MOBILE.title}, because OSEDiff's latency is not known here "
            f"(isrbench eval --method {OSEDIFF} --dataset {aligned.dataset}, with the published weights)"
        )
    if over:
        titles = ", ".join(metrics().get(id).title for id in over)
        columns.append(
            Metric(
                id=MEAN_RANK,
                title="Mean rank",
                direction=Direction.LOWER,
                reference=Reference.SET,
                colour=_SOURCE,
                definition=f"mean over {titles} of a method's rank by its mean; equal means share the average rank",
                build=_derived,
                decimals=2,
            )
        )
    return tuple(columns), tuple(notes)


def composite_cells(
    aligned: AlignedRuns, cells: Cells, images: Sequence[str], columns: Sequence[Metric], over: Sequence[str]
) -> Cells:
    """Return the cells of composites over a group of images.

    Args:
        aligned: Of :func:`with_ntire`.
        cells: Of :func:`isrbench.reports.statistics.compare_means`, over the same images.
        images: The group.
        columns: Of :func:`group_composites`.
        over: Of :func:`ranked_metrics`.
    """
    found: Cells = {}
    for column in columns:
        made = _mobile(aligned, cells) if column is MOBILE else _mean_ranks(aligned, cells, images, over)
        known = {label: cell.mean for label, cell in made.items() if cell.mean is not None}
        sign = -1 if column.direction is Direction.HIGHER else 1
        places = stats.rankdata([sign * mean for mean in known.values()], method="min")
        ranks = {label: int(place) for label, place in zip(known, places, strict=True)}
        found |= {(label, column.id): replace(cell, rank=ranks.get(label)) for label, cell in made.items()}
    return found


def _references(aligned: AlignedRuns) -> dict[tuple[str, ...], float]:
    """Return OSEDiff's latency in ms by what it was measured under; of several runs the newest counts."""
    found = {}
    for label, run in aligned.runs.sort_values("created").iterrows():
        manifest: Manifest = run["manifest"]  # pyright: ignore[reportAssignmentType]
        latency = _latency(aligned, str(label))
        if manifest.method == OSEDIFF and not on_tiny_weights(manifest.variant) and latency:
            found[condition(aligned, str(label), "latency_ms")] = latency
    return found


def _latency(aligned: AlignedRuns, label: str) -> float:
    """Return a method's latency in ms; 0 where none was measured, or nobody knows on which machine and LR size."""
    run = aligned.runs.loc[label]
    value: Any = run["latency_ms"]
    known = isinstance(run["complexity_size"], str) and len(condition(aligned, label, "latency_ms")) > 2
    return float(value) if known and value is not None and not pd.isna(value) else 0.0


def _mobile(aligned: AlignedRuns, cells: Cells) -> dict[str, Cell]:
    references = _references(aligned)
    made = {}
    for label in aligned.labels:
        score = cells[label, NTIRE.id]
        latency, reference = _latency(aligned, label), references.get(condition(aligned, label, "latency_ms"))
        blank = Cell(label, MOBILE.id, score.n, None)
        if score.mean is None:
            made[label] = replace(blank, reason=f"no NTIRE score: {score.reason}")
        elif not latency:
            made[label] = replace(blank, reason="no latency was measured")
        elif reference is None:
            made[label] = replace(blank, reason="OSEDiff's latency was measured for another LR size, device or machine")
        else:
            # A rising function of the mean: it takes the interval's ends to the ends of its own interval.
            factor = (reference / latency) ** 0.2
            low, high = (None if end is None else factor * 2**end for end in (score.low, score.high))
            made[label] = replace(blank, mean=factor * 2**score.mean, low=low, high=high)
    return made


def _mean_ranks(aligned: AlignedRuns, cells: Cells, images: Sequence[str], over: Sequence[str]) -> dict[str, Cell]:
    """Rank the methods that have a finite mean in every metric; the images of all are resampled together."""
    reasons = {label: _unranked(aligned, cells, label, over) for label in aligned.labels}
    able = [label for label, reason in reasons.items() if not reason]
    if len(able) < 2:
        reasons = {label: reason or "no other method to rank it with" for label, reason in reasons.items()}
    made = {label: Cell(label, MEAN_RANK, len(images), None, reason) for label, reason in reasons.items()}
    if len(able) < 2:
        return made
    directions = {metric.id: metric.direction for metric in aligned.metrics}
    signs = np.array([-1 if directions[id] is Direction.HIGHER else 1 for id in over])[:, None]
    values = np.column_stack([aligned.values[id].loc[list(images), able] for id in over])

    def mean_ranks(means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of (draws, metrics x methods): (draws, methods)."""
        return stats.rankdata(signs * means.reshape(len(means), len(over), len(able)), axis=2).mean(axis=1)

    whole = mean_ranks(values.mean(axis=0, keepdims=True))[0]
    low, high = np.quantile(mean_ranks(bootstrap_means(values)), (0.025, 0.975), axis=0)
    for place, label in enumerate(able):
        made[label] = replace(made[label], mean=float(whole[place]), low=float(low[place]), high=float(high[place]))
    return made


def _unranked(aligned: AlignedRuns, cells: Cells, label: str, over: Sequence[str]) -> str:
    """Say why a method has no rank in one of the metrics; return "" where it has all."""
    for id in over:
        title, cell = metrics().get(id).title, cells.get((label, id))
        if cell is None and any(m.id == id for m in aligned.blank):
            return f"no mean of {title}: weights unavailable"
        if cell is None:
            return f"no run here was scored by {title}"
        if cell.mean is None:
            return f"no mean of {title}: {cell.reason}"
        if not np.isfinite(cell.mean):
            return f"the mean of {title} is infinite"
    return ""
