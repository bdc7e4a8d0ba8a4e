"""Every plot that a set's rows allow, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from isrbench.harness.api.metric import Metric, Reference
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.figures import quality, routing
from isrbench.reports.figures.differences import differences
from isrbench.reports.figures.interaction import slope_bars
from isrbench.reports.figures.pareto import pareto
from isrbench.reports.figures.style import Plot, Target
from isrbench.reports.figures.tradeoff import DISTORTION, PERCEPTION, tradeoff
from isrbench.reports.names import unique_slugs


def draw(compared: ComparedSet, folder: Path) -> list[Plot]:
    """Draw all plots below ``folder``; a plot whose rows are missing is left out.

    Args:
        compared: The runs and their means.
        folder: Where the files go; one folder a set, so that names cannot collide.
    """
    to = partial(Target, folder, titles=compared.layout.titles)
    parts = (_by_severity, _trade_offs, _costs, _pairs, _routing)
    return [Plot(tuple(paths), text) for part in parts for paths, text in part(compared, to) if paths]


_Found = Iterator[tuple[list[Path], str]]
"""Files, none where there is nothing to draw, and what they show."""


def _per_image(compared: ComparedSet) -> dict[str, Metric]:
    """Return the metrics that have values of images, by the name of their files."""
    values = compared.aligned.values
    found = [m for m in compared.aligned.metrics if m.id in values and not values[m.id].isna().all().all()]
    return dict(zip(unique_slugs(metric.id for metric in found).values(), found, strict=True))


def _by_severity(compared: ComparedSet, to: Callable[[str], Target]) -> _Found:
    aligned, base = compared.aligned, compared.baseline
    against = f", and the paired difference to {base}" if base and len(aligned.labels) > 1 else ""
    for slug, metric in _per_image(compared).items():
        paths = quality.robustness(aligned, metric, base, to(f"severity-{slug}"))
        yield paths, f"{metric.title} against severity{against}: equal groups of images, bands are 95% intervals"
    if base is not None:
        words = (
            f"Slope of the difference to {base} over severity, in standard deviations of both; bars are 95% intervals, "
            "filled marks significant ones"
        )
        yield slope_bars(aligned, compared.analysis("interaction").rows, base, to("interaction")), words


def _trade_offs(compared: ComparedSet, to: Callable[[str], Target]) -> _Found:
    by_id = {metric.id: (slug, metric) for slug, metric in _per_image(compared).items()}
    if DISTORTION not in by_id:
        return
    _, distortion = by_id[DISTORTION]
    for slug, metric in (by_id[id] for id in PERCEPTION if id in by_id):
        paths = tradeoff(compared.aligned, compared.cells["all"], distortion, metric, to(f"perception-{slug}"))
        yield paths, f"{metric.title} against {distortion.title}: means with 95% intervals, better is up and right"


def _costs(compared: ComparedSet, to: Callable[[str], Target]) -> _Found:
    for slug, metric in _first_of_each_kind(_per_image(compared)):
        for cost, name in (("macs", "macs"), ("latency_ms", "latency")):
            yield pareto(compared.aligned, compared.cells["all"], metric, cost, to(f"cost-{slug}-{name}"))


def _pairs(compared: ComparedSet, to: Callable[[str], Target]) -> _Found:
    aligned, base, per_image = compared.aligned, compared.baseline, _per_image(compared)
    if base is None or not per_image:
        return
    words = f"difference to {base} of each image, means with 95% intervals; filled marks significant ones"
    for slug, metric in per_image.items():
        paths = differences(aligned, compared.cells["all"], metric, base, to(f"differences-{slug}"))
        yield paths, f"{metric.title}: {words}"
    labels, first = unique_slugs(aligned.labels), next(iter(per_image.values()))
    for label in (label for label in aligned.labels if label != base):
        paths = quality.paired(aligned, first, base, label, to(f"paired-{labels[label]}"))
        yield paths, quality.paired_words(aligned, first, base, label)


def _first_of_each_kind(per_image: Mapping[str, Metric]) -> list[tuple[str, Metric]]:
    """Return the first metric that needs an HR image and the first that needs none."""
    kinds = (Reference.FULL, Reference.NONE)
    return [item for kind in kinds for item in [i for i in per_image.items() if i[1].reference is kind][:1]]


def _routing(compared: ComparedSet, to: Callable[[str], Target]) -> _Found:
    aligned, groups = compared.aligned, list(compared.strata)
    slugs = unique_slugs(aligned.labels)
    for label, table in compared.routing.items():
        tail = slugs[label]
        yield routing.severity_scatter(aligned, label, to(f"experts-{tail}")), f"{label}: active experts by severity"
        paths = routing.dimension_bars(aligned, label, table, to(f"dimensions-{tail}"))
        yield paths, f"{label}: what routing follows"
        paths = routing.dimension_scatter(aligned, label, table, to(f"scatter-{tail}"))
        yield paths, f"{label}: active experts by each dimension of severity"
        paths = routing.layer_heatmap(aligned, label, groups, to(f"layers-{tail}"))
        yield paths, f"{label}: active experts by layer and stratum; grey: no image"
        yield routing.zero_share(aligned, label, groups, to(f"zero-{tail}")), f"{label}: share of zero slots by layer"
