"""Frames and aligned runs cut and ordered as a layout says: :class:`isrbench.harness.api.layout.Layout`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from isrbench.harness.api.layout import Layout
from isrbench.harness.api.metric import Metric
from isrbench.harness.api.registry import metrics, unknown_name
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.sets import ALL, METRIC_SETS, expand
from isrbench.harness.store.frames import Frames
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.statistics import Cells

_FIX_DIGITS = "write --digits 3, --digits psnr=2,lpips=3 or --digits 3,psnr=2, each from 0 to 17"


def methods_named(aligned: AlignedRuns, name: str) -> list[str]:
    """Return the labels that a name stands for: the label itself, or all runs of a method's id, or one run's id."""
    if name in aligned.labels:
        return [name]
    runs = aligned.runs
    found = runs.index[(runs["method"].str.lower() == name.lower()) | (runs["run"] == name)]
    return [str(label) for label in found] or [own for own in aligned.labels if own.lower() == name.lower()]


def only_methods(frames: Frames, sets: Sequence[AlignedRuns], names: Sequence[str]) -> Frames:
    """Return the rows of these methods alone.

    Args:
        frames: All rows.
        sets: The same, aligned.
        names: As in ``Layout.methods``, at least one.

    Raises:
        UserError: If a name stands for no method of any set.
    """
    kept = set()
    for name in names:
        runs = [run for own in sets for run in own.runs.loc[methods_named(own, name), "run"]]
        if not runs:
            known = sorted({str(name) for own in sets for name in (*own.runs["method"], *own.labels)})
            raise UserError(unknown_name("method", name, known), "choose among the methods that were run")
        kept.update(runs)

    def cut(rows: Any) -> Any:
        return rows[rows["run"].isin(kept)].reset_index(drop=True)

    return Frames(cut(frames.runs), cut(frames.scores), cut(frames.images), cut(frames.routing))


def check_layout(layout: Layout, there: Sequence[str]) -> Layout:
    """Return the layout with its sets of metrics replaced by their metrics.

    Args:
        layout: As the user gave it.
        there: Ids of all columns that any set has.

    Raises:
        UserError: If a metric is unknown or was not run, or digits cannot be read.
    """
    chosen = expand(layout.metrics)
    named = [id for id in layout.metrics if id not in (*METRIC_SETS, *ALL)]
    fix = f"choose among {', '.join(there)}"
    for id in filter(None, (*named, layout.order, *_digits(layout))):
        if id not in there:
            known = metrics().find(id) is not None
            raise UserError(
                f"no run here was scored by {id}" if known else unknown_name("metric", id, list(there)), fix
            )
    if chosen and not set(there) & set(chosen):
        raise UserError(f"no run here was scored by any of {', '.join(chosen)}", fix)
    return replace(layout, metrics=chosen)


def with_digits(layout: Layout, found: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return metrics with the digits that the layout gives them.

    Raises:
        UserError: If they cannot be read.
    """
    digits = _digits(layout)
    return tuple(replace(m, decimals=digits.get(m.id, digits.get("", m.decimals))) for m in found)


def arranged(layout: Layout, aligned: AlignedRuns, cells: Cells) -> AlignedRuns:
    """Return runs with the metrics and the order of rows that the layout names.

    Args:
        layout: Of :func:`check_layout`.
        aligned: With all metrics.
        cells: Means over all images.
    """
    metrics = columns(layout, aligned.metrics)
    kept = {metric.id for metric in metrics}
    return replace(
        aligned,
        labels=_row_order(layout, aligned, cells),
        metrics=metrics,
        values={id: table for id, table in aligned.values.items() if id in kept},
        set_values={id: table for id, table in aligned.set_values.items() if id in kept},
    )


def columns(layout: Layout, found: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the metrics that the layout names, in its order; all of them where it names none."""
    by_id = {metric.id: metric for metric in found}
    return tuple(by_id[id] for id in layout.metrics if id in by_id) if layout.metrics else tuple(found)


def _row_order(layout: Layout, aligned: AlignedRuns, cells: Cells) -> tuple[str, ...]:
    """Return the labels as rows: best first by a metric's mean over all images, as named, or by label."""
    labels = aligned.labels
    if layout.methods:
        named = [label for name in layout.methods for label in methods_named(aligned, name)]
        labels = tuple(dict.fromkeys(label for label in named if label in labels))
    if not layout.order:
        return labels
    ranks = {label: cell.rank for label in labels if (cell := cells.get((label, layout.order))) and cell.rank}
    return tuple(sorted(labels, key=lambda label: ranks.get(label, len(labels) + 1)))


def _digits(layout: Layout) -> dict[str, int]:
    """Return digits by metric; "" is for all others.

    Raises:
        UserError: If one is no whole number in 0 to 17.
    """
    found = {}
    for text in layout.digits:
        metric, _, number = text.rpartition("=")
        if not (number.isascii() and number.isdigit() and int(number) <= 17):
            raise UserError(f"--digits {text} is not a number of digits", _FIX_DIGITS)
        found[metric.strip()] = int(number)
    return found
