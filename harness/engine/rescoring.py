"""Metrics that a run holds and that are not asked for now: a restored image loses their values, so they are renewed."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from isrbench.harness.api.records import ScoreRow
from isrbench.harness.api.registry import metrics as installed
from isrbench.harness.engine.plan import Plan
from isrbench.harness.engine.resume import Stored, needs_restoring
from isrbench.harness.metrics.scorer import Scorer


def add_stored_metrics(plan: Plan, stored: Stored) -> tuple[Scorer, list[str]]:
    """Return a scorer that also measures what restoring images would drop, and notes on what nothing can measure.

    The scores of an image go with it, and values of the whole set with any image. All images are brought up to date in
    these metrics, as if they had been asked for: rows of one metric have to be of one version.

    Args:
        plan: What is run.
        stored: What the run holds.
    """
    asked = set(plan.scorer.ids)
    waiting = {pair.id for pair in plan.pairs if needs_restoring(stored, pair.id)}
    again = waiting & stored.images.keys()
    others = {metric for image, metric in stored.scores if metric not in asked and (waiting if image == "" else again)}
    known = sorted(metric for metric in others if installed().find(metric) is not None)
    notes = [
        f"scores of {metric} are dropped with the images that are restored again ({len(waiting)}), since no installed "
        f"package declares it: install it again, then isrbench eval with --metrics {metric}"
        for metric in sorted(others.difference(known))
    ]
    return (plan.scorer.extended(known) if known else plan.scorer), notes


def without_value(rows: Iterable[ScoreRow], asked: Collection[str], measured: Collection[str]) -> list[str]:
    """Return a note on each metric that was measured without being asked for, and that has no value for some image.

    Args:
        rows: All scores of the run.
        asked: Metrics that were asked for; their rows are told elsewhere.
        measured: All that this run measured.
    """
    lacking: dict[str, ScoreRow] = {}
    for row in rows:
        if row.metric in measured and row.metric not in asked and row.failure is not None:
            lacking.setdefault(row.metric, row)
    return [
        f"{metric}, not asked for now, has no value for {row.image or 'the set'}, which was restored again: "
        + "; ".join(filter(None, (row.failure.brief, row.failure.fix)))
        for metric, row in lacking.items()
        if row.failure is not None
    ]
