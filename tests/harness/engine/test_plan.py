"""From a request to a plan: names, titles, and what an image has of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.metric import Reference
from isrbench.harness.api.records import ImageStatus
from isrbench.harness.api.registry import Registry, metrics
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.errors import UserError
from tests.support.images import noise_image, write_pairs
from tests.support.nearest import CALLS, Nearest, run


@pytest.mark.parametrize("answer", [KeyError("b"), RuntimeError("caf\udce9"), 3, None, "\udce9"])
def test_an_image_without_an_input_of_its_own_fails_alone(answer, request_, methods, monkeypatch) -> None:
    def input_hash(self, image: str) -> str:
        if image == "b" and isinstance(answer, Exception):
            raise answer
        return answer if image == "b" else ""

    with monkeypatch.context() as patch:
        patch.setattr(Nearest, "input_hash", input_hash)
        first, store, outcome = run(request_, methods)
    failed = [row.image for row in store.images(first) if row.status is ImageStatus.FAILED]
    assert outcome.failed == 1 and failed == ["b"] and CALLS == ["a", "c", "d"]
    second, _, outcome = run(request_, methods)
    assert outcome.failed == 0 and second != first


def test_a_method_whose_code_has_no_source_is_one_line(request_, methods) -> None:
    """What decides its images could not be part of the run's identity."""
    registry: Registry[MethodPlugin] = Registry("method", MethodPlugin)
    plugin = methods.get("nearest")
    registry.hold("nearest", replace(plugin, info=replace(plugin.info, code=("no_such_module",))))
    with pytest.raises(UserError, match="the method nearest has no identity: the source of module no_such_module"):
        make_plan(request_, registry)


def test_a_name_keeps_the_variant(request_, methods, monkeypatch) -> None:
    monkeypatch.setattr(Nearest, "variant", "tiny", raising=False)
    assert make_plan(replace(request_, name="mine"), methods).title == "mine (tiny)"
    assert make_plan(request_, methods).title == "Nearest (tiny)"


@pytest.mark.parametrize(
    ("name", "what"), [("bicubic", "id"), ("BiCubic", "id"), ("mor-sr", "title"), ("MoR-SR", "title")]
)
def test_a_name_that_tables_give_to_another_method_is_refused(name: str, what: str, request_, methods) -> None:
    methods.register("bicubic", "isrbench.methods.classical.plugin:BICUBIC")
    methods.register("mor", "isrbench.methods.mor.plugin:PLUGIN")
    methods.register("broken", "no_such_module:PLUGIN")
    with pytest.raises(UserError, match=f"--name {name} is the {what} of another method") as caught:
        make_plan(replace(request_, name=name), methods)
    assert f"--name {name}-2" in (caught.value.fix or "")
    assert make_plan(replace(request_, name="NEAREST"), methods).title == "NEAREST"


@pytest.mark.parametrize(("side", "scored"), [(47, False), (48, True)])
def test_a_default_metric_that_an_image_is_too_small_for_is_left_out_with_a_note(
    request_: Request, methods, tmp_path: Path, side: int, scored: bool
) -> None:
    folder = write_pairs(tmp_path / "set", ["a", "b"], lr=side)
    plan = make_plan(replace(request_, dataset=str(folder), metrics=None), methods)
    assert ("niqe" in plan.scorer.ids) is scored and {"psnr", "ssim", "piqe"} <= set(plan.scorer.ids)
    assert bool(plan.notes) is not scored and all("niqe is left out: it needs sides of 192" in n for n in plan.notes)
    asked = make_plan(replace(request_, dataset=str(folder), metrics=("niqe",)), methods)
    assert asked.scorer.ids == ("niqe",) and not asked.notes


@pytest.mark.parametrize("id", ["ssim", "ms_ssim", "niqe", "shift", "piqe"])
def test_the_smallest_sides_are_what_the_metrics_need(id: str) -> None:
    metric = metrics().get(id)
    compute: Any = metric.make("cpu")

    def value(side: int) -> float:
        reference = None if metric.reference is Reference.NONE else noise_image(side, side, seed=1)
        return compute(noise_image(side, side), reference, None)

    assert np.isfinite(value(metric.min_side))
    if id != "niqe":  # which computes from a single block on, of half this side
        with pytest.raises((UserError, RuntimeError)):
            value(metric.min_side - 1)
