"""Every plot that a set's rows allow, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isrbench.harness.api.metric import Metric, Reference
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.figures import quality, routing
from isrbench.reports.figures.interaction import slope_bars
from isrbench.reports.figures.pareto import pareto
from isrbench.reports.figures.style import Plot
from isrbench.reports.names import unique_slugs


def draw(compared: ComparedSet, folder: Path) -> list[Plot]:
    """Draw all plots below ``folder``; a plot whose rows are missing is left out.

    Args:
        compared: The runs and their means.
        folder: Where the files go; one folder a set, so that names cannot collide.
    """
    found = [*_quality(compared, folder), *_routing(compared, folder)]
    return [Plot(tuple(paths), text) for paths, text in found if paths]


def _quality(compared: ComparedSet, folder: Path) -> Iterator[tuple[list[Path], str]]:
    aligned, base = compared.aligned, compared.baseline
    per_image = [m for m in aligned.metrics if m.id in aligned.values and not aligned.values[m.id].isna().all().all()]
    slugs = unique_slugs(metric.id for metric in per_image)
    against = f", and the paired difference to {base}" if base and len(aligned.labels) > 1 else ""
    for metric in per_image:
        paths = quality.robustness(aligned, metric, base, folder, f"severity-{slugs[metric.id]}")
        yield paths, f"{metric.title} against severity{against}: equal groups of images, bands are 95% intervals"
    if base is not None:
        words = (
            f"Slope of the difference to {base} over severity, in standard deviations of both; bars are 95% intervals, "
            "filled marks significant ones"
        )
        yield slope_bars(aligned, compared.analysis("interaction").rows, base, folder, "interaction"), words
    for metric in _first_of_each_kind(per_image):
        for cost, name in (("macs", "macs"), ("latency_ms", "latency")):
            yield pareto(aligned, compared.cells["all"], metric, cost, folder, f"cost-{slugs[metric.id]}-{name}")
    labels = unique_slugs(aligned.labels)
    for label in aligned.labels:
        if per_image and base is not None and label != base:
            paths = quality.paired(aligned, per_image[0], base, label, folder, f"paired-{labels[label]}")
            yield paths, quality.paired_words(aligned, per_image[0], base, label)


def _first_of_each_kind(per_image: list[Metric]) -> list[Metric]:
    """Return the first metric that needs an HR image and the first that needs none."""
    kinds = (Reference.FULL, Reference.NONE)
    return [m for kind in kinds for m in [m for m in per_image if m.reference is kind][:1]]


def _routing(compared: ComparedSet, folder: Path) -> Iterator[tuple[list[Path], str]]:
    aligned, groups = compared.aligned, list(compared.strata)
    slugs = unique_slugs(aligned.labels)
    for label, table in compared.routing.items():
        tail = slugs[label]
        paths = routing.severity_scatter(aligned, label, folder, f"experts-{tail}")
        yield paths, f"{label}: active experts by severity"
        paths = routing.dimension_bars(aligned, label, table, folder, f"dimensions-{tail}")
        yield paths, f"{label}: what routing follows"
        paths = routing.dimension_scatter(aligned, label, table, folder, f"scatter-{tail}")
        yield paths, f"{label}: active experts by each dimension of severity"
        paths = routing.layer_heatmap(aligned, label, groups, folder, f"layers-{tail}")
        yield paths, f"{label}: active experts by layer and stratum; grey: no image"
        paths = routing.zero_share(aligned, label, groups, folder, f"zero-{tail}")
        yield paths, f"{label}: share of zero slots by layer"
