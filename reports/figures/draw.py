"""Every plot that a view's rows allow, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isrbench.harness.api.metric import Metric, Reference
from isrbench.reports.comparison import View
from isrbench.reports.figures import quality as plots
from isrbench.reports.figures import routing
from isrbench.reports.figures.pareto import pareto
from isrbench.reports.names import unique_slugs
from isrbench.reports.statistics import Cell
from isrbench.reports.strata import Stratum


@dataclass(frozen=True)
class Plot:
    """One drawn plot."""

    files: tuple[Path, ...]
    """PNG, SVG, and SVG for a dark ground."""
    text: str
    """What it shows."""


def draw(
    view: View, groups: Sequence[Stratum], cells: Mapping[tuple[str, str], Cell], base: str | None, folder: Path
) -> list[Plot]:
    """Draw all plots below ``folder``; a plot whose rows are missing is left out.

    Args:
        view: The runs.
        groups: Strata of the images.
        cells: Means over all images.
        base: Label of the baseline, or None.
        folder: Where the files go; one folder a view, so that names cannot meet.
    """
    per_image = [m for m in view.metrics if m.id in view.values and not view.values[m.id].isna().all().all()]
    found = [*_quality(view, cells, per_image, base, folder), *_routing(view, list(groups), folder)]
    return [Plot(tuple(paths), text) for paths, text in found if paths]


def routed(view: View) -> list[str]:
    """Labels of methods that route."""
    return [label for label in view.labels if view.active[label].notna().any()]


def _quality(
    view: View, cells: Mapping[tuple[str, str], Cell], per_image: list[Metric], base: str | None, folder: Path
) -> Iterator[tuple[list[Path], str]]:
    slugs = unique_slugs(metric.id for metric in per_image)
    against = f", and the paired difference to {base}" if base and len(view.labels) > 1 else ""
    for metric in per_image:
        paths = plots.robustness(view, metric, base, folder, f"severity-{slugs[metric.id]}")
        yield paths, f"{metric.title} against severity{against}: equal groups of images, bands are 95% intervals"
    for reference in (Reference.FULL, Reference.NONE):
        metric = next((m for m in per_image if m.reference is reference), None)
        if metric is not None:
            yield pareto(view, cells, metric, "macs", folder, f"cost-{slugs[metric.id]}-macs")
            yield pareto(view, cells, metric, "latency_ms", folder, f"cost-{slugs[metric.id]}-latency")
    labels = unique_slugs(view.labels)
    for label in view.labels:
        if per_image and base is not None and label != base:
            paths = plots.paired(view, per_image[0], base, label, folder, f"paired-{labels[label]}")
            yield paths, plots.paired_words(view, per_image[0], base, label)


def _routing(view: View, groups: list[Stratum], folder: Path) -> Iterator[tuple[list[Path], str]]:
    slugs = unique_slugs(view.labels)
    for label in routed(view):
        tail = slugs[label]
        yield routing.severity_scatter(view, label, folder, f"experts-{tail}"), f"{label}: active experts by severity"
        yield routing.dimension_bars(view, label, folder, f"dimensions-{tail}"), f"{label}: what routing follows"
        paths = routing.dimension_scatter(view, label, folder, f"scatter-{tail}")
        yield paths, f"{label}: active experts by each dimension of severity"
        paths = routing.layer_heatmap(view, label, groups, folder, f"layers-{tail}")
        yield paths, f"{label}: active experts by layer and stratum; grey: no image"
        paths = routing.zero_share(view, label, groups, folder, f"zero-{tail}")
        yield paths, f"{label}: share of zero slots by layer"
