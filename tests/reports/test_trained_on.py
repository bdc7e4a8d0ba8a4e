"""Marks of methods that were trained on a metric."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isrbench.harness.api.registry import methods, metrics
from isrbench.methods.zoo.card import shipped_cards
from isrbench.reports.aligned import align
from isrbench.reports.comparison import compare
from isrbench.reports.reported import reported_methods
from isrbench.reports.trained_on import trained_on
from tests.support.report_frames import frames, on_dataset, with_manifests


def _renamed(made, **facts: object):
    """The folder run with other facts in its manifest."""
    return with_manifests(made, lambda m: m.model_copy(update=facts) if m.name == "folder" else m)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return frames(tmp_path_factory.mktemp("images"), count=2, failed=False)


def test_the_ids_are_those_of_metrics():
    named = {id: plugin.info.trained_on_metrics for id, plugin in methods().load_all()[0].items()}
    named |= {id: card.trained_on_metrics for id, card in shipped_cards().items()}
    named |= {id: known.trained_on_metrics for id, known in reported_methods().items()}
    unknown = {(id, metric) for id, ids in named.items() for metric in ids if metric not in metrics()}
    assert not unknown
    marked = {id for id, ids in named.items() if ids}
    assert {"osediff", "mor", "lora_moe", "s3diff", "pisa", "omgsr", "hypir", "webphoto-realplksr"} <= marked
    assert {"OSEDiff", "PiSA-SR", "S3Diff"} <= marked
    assert all(known.source for known in reported_methods().values() if known.trained_on_metrics)


@pytest.mark.parametrize(
    ("facts", "ids"),
    [
        ({"name": "osediff", "method": "osediff", "title": "OSEDiff"}, {"lpips", "lpips-vgg"}),
        ({"name": "osediff-published"}, {"lpips", "lpips-vgg"}),
        ({"title": "PiSA-SR"}, {"lpips", "lpips-vgg"}),
        ({"method": "mine", "trained_on_metrics": ["musiq"]}, {"musiq"}),
        ({"name": "osediff", "method": "osediff", "title": "OSEDiff (tiny)", "variant": "tiny"}, set()),
        ({}, set()),
    ],
)
def test_who_was_trained_on_what(made, facts, ids):
    (aligned,) = align(_renamed(made, **facts))
    (label,) = set(aligned.labels) - {"Bicubic", "MoR-SR (tiny)"}
    assert trained_on(aligned) == {"Bicubic": set(), "MoR-SR (tiny)": set(), label: ids}


def test_values_are_marked_with_one_footnote(made):
    runs = _renamed(made, name="osediff-published", title="osediff-published")
    (compared,) = compare(on_dataset(runs, "RealSR", whole=2), reported=True).sets
    table = compared.tables[0]
    marked = {
        (label.partition(" [")[0], metric.id)
        for label, entries in (*table.rows, *table.reported)
        for metric, entry in zip(table.metrics, entries, strict=True)
        if entry.trained_on
    }
    assert marked == {(m, "lpips") for m in ("osediff-published", "OSEDiff-1", "MoR (MoR-DASR)-1", "PiSA-SR-1")}
    assert [sum(note.startswith("‡") for note in own.notes) for own in compared.tables] == [1] * len(compared.tables)
    markdown, latex, text = compared.to_markdown(), compared.to_latex(), compared.to_text()
    assert "0.2672<sup>‡</sup>" in markdown and r"0.2672\rlap{$^{\ddagger}$}" in latex and "0.2672  ‡" in text


def test_a_footnote_of_reported_rows_alone(made):
    (compared,) = compare(on_dataset(made, "RealSR", whole=2), reported=True).sets
    assert [note.startswith("‡") for note in compared.tables[0].notes][-1]
    (without,) = compare(made).sets
    assert not any("‡" in text for text in (without.to_markdown(), without.to_latex(), without.to_text()))


def test_a_blank_cell_is_not_marked(made):
    runs = _renamed(made, name="osediff-published", title="osediff-published")
    scores = runs.scores.copy()
    scores.loc[(scores["method"] == "osediff-published") & (scores["metric"] == "lpips"), "value"] = float("nan")
    (compared,) = compare(replace(runs, scores=scores)).sets
    assert not any(entry.trained_on for _, entries in compared.tables[0].rows for entry in entries)
