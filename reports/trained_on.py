"""Which methods were trained on the metrics that they are measured by."""

from __future__ import annotations

from isrbench.harness.api.records import Manifest
from isrbench.harness.api.registry import methods
from isrbench.reports.aligned import AlignedRuns, on_tiny_weights
from isrbench.reports.reported import reported_methods


def trained_on(aligned: AlignedRuns) -> dict[str, frozenset[str]]:
    """Return the ids of metrics that each method was trained on, by label.

    What the run's manifest says, what the installed method says now (the run may be older), and what is known of the
    published method that the run is of. The tiny weights that ship are not the published ones: nothing is said of them.
    """
    found = {}
    for label, run in aligned.runs.iterrows():
        manifest: Manifest = run["manifest"]  # pyright: ignore[reportAssignmentType]
        ids = set(manifest.trained_on_metrics)
        plugin = methods().find(manifest.method)
        ids |= set(plugin.info.trained_on_metrics if plugin else ())
        for name, known in reported_methods().items():
            if known.is_measured_by(name, manifest.name, manifest.title):
                ids |= set(known.trained_on_metrics)
        found[str(label)] = frozenset() if on_tiny_weights(manifest.variant) else frozenset(ids)
    return found
