"""Values of weights that are not, or cannot be shown to be, the published ones are marked wherever they stand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from isrbench.harness.api.records import MetricRecord
from isrbench.harness.api.registry import metrics
from isrbench.harness.metrics.version import marks
from isrbench.reports.aligned import align
from isrbench.reports.hub_card import hub_card
from isrbench.reports.statistics import means
from isrbench.reports.tables.latex import latex, tabular
from isrbench.reports.tables.render import markdown, plain_text
from isrbench.reports.tables.table import score_table
from tests.support.report_frames import frames, with_manifests

LPIPS = metrics().get("lpips")
PUBLISHED = {file.path: file.sha256 for file in LPIPS.weights}
HEAD, _ = LPIPS.weights


def computed_with(made, digests, metric="lpips"):
    record = MetricRecord(direction="lower", reference="full", colour="RGB", definition="d", weights=digests,
                          code="c", weights_version="w")  # fmt: skip
    return with_manifests(made, lambda m: m.model_copy(update={"metrics": {metric: record}}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return frames(tmp_path_factory.mktemp("images"), count=4, failed=False)


def tables(made):
    (own,) = align(made)
    table = score_table(own, means(own, list(own.images.index)), "sample", 4)
    return [markdown(table), plain_text(table), latex(table, "t", tabular(table)).replace(r"\S{}", "§")]


def test_values_of_other_weights_are_marked_and_stay_out_of_a_hub_card(made, caplog):
    other = computed_with(made, {**PUBLISHED, HEAD.path: "0" * 64})
    for text in tables(other):
        assert "LPIPS§" in text
        assert "weights that are not the published ones" in " ".join(text.split())
    found = {result.metric_type for result in ModelCard(hub_card(other, "mor")).data.eval_results or []}
    assert found == {"psnr", "ssim", "musiq"} and "no lpips of MoR-SR (tiny) in a hub card" in caplog.text


def test_values_of_the_published_weights_have_no_mark(made):
    assert not any("§" in text for text in tables(computed_with(made, PUBLISHED)))
    assert "lpips" in hub_card(computed_with(made, PUBLISHED), "mor")


def test_values_of_weights_without_a_whole_hash_are_marked(made):
    liqe = metrics().get("liqe")
    (file,) = liqe.weights
    assert marks(liqe, {}) == marks(liqe, {file.path: None}) == ""
    said = f"weights of which no whole sha256 is published ({file.path})"
    own = computed_with(made, {file.path: "0" * 64}, "liqe")
    own = replace(own, scores=own.scores.replace({"metric": {"lpips": "liqe"}}))
    assert all("LIQE§" in text for text in tables(own))
    card = ModelCard(hub_card(own, "mor")).data.eval_results or []
    assert [r.metric_name for r in card if r.metric_type == "liqe"] == [f"LIQE (RGB; {said})"]


def test_a_method_whose_weights_have_no_whole_hash_has_a_note(made):
    hypir = with_manifests(made, lambda m: m.model_copy(update={"method": "hypir"}) if m.method == "mor" else m)
    said = "no whole sha256 of isrbench/HYPIR_sd2.pth is published"
    assert all(said in " ".join(text.split()).replace(r"\_", "_") for text in tables(hypir))
    assert not any("sha256" in text for text in tables(made))
