"""What a run keeps of a method's cost."""

from __future__ import annotations

import pytest
import torch

from isrbench.harness.api.method import Cost, Restored
from isrbench.harness.engine.costing import run_cost
from isrbench.harness.errors import UserError


class Plain:
    """Enlarges by four."""

    weights_hash = ""

    def restore(self, lr, *, image, seed):
        return Restored(torch.zeros(3, 4 * lr.shape[1], 4 * lr.shape[2]))

    def cost(self, height, width):
        return Cost(macs=3 * height * width, params_total=5)

    def input_hash(self, image):
        return ""


def test_macs_and_flops_are_named_apart():
    cost = run_cost(Plain(), 8, 6, "cpu")
    assert (cost.macs, cost.flops, cost.params_total, cost.params_active) == (144, 288, 5, None)
    assert cost.complexity_size == "8x6" and cost.latency_ms is not None


def test_a_method_that_knows_only_given_images_is_not_timed():
    class Given(Plain):
        def restore(self, lr, *, image, seed):
            raise UserError(f"there is no {image}.png")

    cost = run_cost(Given(), 8, 6, "cpu")
    assert (cost.latency_ms, cost.peak_mib, cost.macs) == (None, None, 144)


def test_a_method_that_asks_not_to_be_timed_is_not():
    class Elsewhere(Plain):
        untimed = "made elsewhere"

    assert run_cost(Elsewhere(), 8, 6, "cpu").latency_ms is None


def test_a_cost_that_is_none_is_an_error():
    class Tuple(Plain):
        def cost(self, height, width):
            return (1, 2)

    with pytest.raises(TypeError, match="cost must return a Cost, not tuple"):
        run_cost(Tuple(), 8, 6, "cpu")
