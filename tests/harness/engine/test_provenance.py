"""What a manifest says of a run."""

from __future__ import annotations

from dataclasses import replace

from isrbench.harness.api.records import Manifest
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.provenance import describe_run
from isrbench.harness.engine.request import Request


def test_a_manifest_keeps_what_its_method_was_trained_on(request_: Request, methods) -> None:
    plan = make_plan(request_, methods)
    info = replace(plan.plugin.info, trained_on_metrics=("lpips", "musiq"))
    manifest = describe_run(replace(plan, plugin=replace(plan.plugin, info=info)), "run")
    assert manifest.trained_on_metrics == ["lpips", "musiq"]
    older = manifest.model_dump(exclude={"trained_on_metrics"})
    assert Manifest.model_validate(older).trained_on_metrics == []
