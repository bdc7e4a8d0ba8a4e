"""Which values were computed with weights that are not, or cannot be shown to be, the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from isrbench.harness.api.metric import Metric
from isrbench.harness.api.records import Manifest
from isrbench.harness.api.registry import methods
from isrbench.harness.metrics.version import OTHER_WEIGHTS, marks
from isrbench.harness.metrics.weights import unproven

UNPROVEN = "§"
"""Mark of a metric that such weights computed, behind its title in every table, figure and page."""


def marked(metrics: Sequence[Metric], manifests: Iterable[Manifest]) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Return metrics with the mark where it belongs, and notes on these and on methods of which the same holds.

    Args:
        metrics: As they are declared.
        manifests: Of the runs that stand beside each other.
    """
    runs = list(manifests)
    shown, notes = [], []
    for metric in metrics:
        said = dict.fromkeys(text for run in runs if (text := weights_mark(run, metric)))
        title, definition = f"{metric.title}{UNPROVEN}", "; ".join((metric.definition, *said))
        shown.append(replace(metric, title=title, definition=definition) if said else metric)
        notes += [f"{UNPROVEN} {metric.title}: {text}" for text in said]
    return tuple(shown), (*notes, *_methods(runs))


def _methods(runs: Sequence[Manifest]) -> list[str]:
    """Notes on methods whose published weights have no whole hash in public; a run's identity holds what it read."""
    found = {run.title: plugin for run in runs if (plugin := methods().find(run.method)) is not None}
    return [
        f"{UNPROVEN} {title}: no whole sha256 of {', '.join(file.path for file in unknown)} is published"
        for title, plugin in sorted(found.items())
        if (unknown := unproven(plugin.weights))
    ]


def weights_mark(manifest: Manifest, metric: Metric) -> str:
    """Return what has to be said of the weights that a run's values of a metric were computed with; "" = nothing."""
    record = manifest.metrics.get(metric.id)
    return marks(metric, record.weights) if record else ""


def not_publishable(manifest: Manifest, metric: Metric) -> bool:
    """Return whether a run's values of a metric come from other weights than the published ones."""
    return weights_mark(manifest, metric).startswith(OTHER_WEIGHTS)
