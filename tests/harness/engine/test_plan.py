"""From a request to a plan: names, titles, and what an image has of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isrbench.harness.api.records import ImageStatus
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.errors import UserError
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
    assert "--name nearest-2" in (caught.value.fix or "")
    assert make_plan(replace(request_, name="NEAREST"), methods).title == "NEAREST"
