"""Restoring an image again loses no metric that was measured on it, whatever is asked for now."""

from __future__ import annotations

from dataclasses import replace

from isrbench.harness.api.records import Failure, ImageRow, ScoreRow
from isrbench.harness.api.registry import metrics
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.rescoring import add_stored_metrics, without_value
from isrbench.harness.engine.resume import Stored
from tests.support.nearest import CALLS, run, table


def score(image: str, metric: str, failure: Failure | None = None) -> ScoreRow:
    value = None if failure else 1.0
    status = "unavailable" if failure else "ok"
    return ScoreRow(run="r", image=image, metric=metric, status=status, value=value, failure=failure)


def stored(*scores: ScoreRow, altered: tuple[str, ...] = ()) -> Stored:
    images = {id: ImageRow(run="r", image=id, status="ok", lr="/lr") for id in "abcd"}
    return Stored(images, {(row.image, row.metric): row for row in scores}, altered)


def test_metrics_not_asked_for_now_are_measured_again(request_, methods) -> None:
    id, store, _ = run(request_, methods)
    before = table(store, id)
    (store.folder / id / "images" / "a.png").write_bytes(b"rubbish")
    _, store, outcome = run(replace(request_, metrics=("psnr",)), methods)
    assert CALLS == ["a"] and table(store, id) == before and outcome.notes == ()


def test_nothing_is_added_where_nothing_is_lost(request_, methods) -> None:
    plan = make_plan(replace(request_, metrics=("psnr",)), methods)
    assert add_stored_metrics(plan, stored(score("a", "gmsd"), score("", "fid"))) == (plan.scorer, [])
    scorer, notes = add_stored_metrics(plan, stored(score("a", "gmsd"), score("", "fid"), altered=("b",)))
    assert scorer.ids == ("psnr", "fid", "gmsd") and notes == []


def test_a_metric_that_is_no_longer_installed_is_noted(request_, methods) -> None:
    plan = make_plan(request_, methods)
    scorer, (note,) = add_stored_metrics(plan, stored(score("a", "gone"), altered=("a",)))
    assert scorer is plan.scorer and note.startswith("scores of gone are dropped") and "--metrics gone" in note


def test_a_metric_without_its_weights_is_noted(request_, methods, monkeypatch, tmp_path) -> None:
    half = replace(metrics().get("lpips"), weights=(), build=lambda device, **settings: lambda restored, hr, lr: 0.5)
    with monkeypatch.context() as patch:
        patch.setitem(metrics()._loaded, "lpips", half)
        id, store, _ = run(replace(request_, metrics=("psnr", "lpips")), methods)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    (store.folder / id / "images" / "a.png").unlink()
    _, store, outcome = run(replace(request_, metrics=("psnr",)), methods)
    assert outcome.failed == 0
    assert any("lpips" in note and "isrbench fetch weights --metric lpips" in note for note in outcome.notes)


def test_only_what_was_not_asked_for_is_noted() -> None:
    rows = [score(image, metric, Failure(message="no\nmore", fix="do")) for image in "ab" for metric in ("m", "n")]
    assert without_value(rows, {"m"}, {"m", "n"}) == [
        "n, not asked for now, has no value for a, which was restored again: no; do"
    ]
    assert without_value([score("a", "n")], {"m"}, {"m", "n"}) == without_value(rows, {"m"}, {"m"}) == []
