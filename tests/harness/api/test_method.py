"""What a method hands back is what a store can hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import RoutingTrace


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_counts_of_a_trace_become_plain_integers(kind) -> None:
    trace = RoutingTrace(np.array(["x", "y"]), kind([8, 10]), kind([1, 2]), macs=np.int64(3), params=torch.tensor(4))
    assert trace == RoutingTrace(("x", "y"), (8, 10), (1, 2), macs=3, params=4)
    kept = [*trace.layers, *trace.active, *trace.zero, trace.macs, trace.params]
    assert [type(value) for value in kept] == [str] * 2 + [int] * 6


@pytest.mark.parametrize(
    ("layers", "active", "macs"),
    [
        (("x",), (1.5,), None), (("x",), ("1",), None), (("x",), 1, None), (("x",), (torch.tensor([1, 2]),), None),
        (("x",), (-1,), None), (("x",), (1,), 2**63), (("x",), (1,), 1.0), ((3,), (1,), None), ("x", (1,), None),
        (("\udcff",), (1,), None), ((), (), None), (("x", "y"), (1,), None),
    ],
)  # fmt: skip
def test_a_trace_that_no_row_could_hold_is_refused(layers, active, macs) -> None:
    with pytest.raises(ValueError):
        RoutingTrace(layers, active, (0,), macs=macs)
