"""How a step is split over processes and micro-batches."""

import pytest

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train.split import Split, item_numbers, split


@pytest.mark.parametrize(
    ("global_batch", "batch", "processes", "expected"),
    [
        (16, 4, 4, Split(4, 1, 4)),
        (16, 4, 1, Split(1, 4, 4)),
        (16, 1, 8, Split(8, 2, 1)),
        (4, 4, 2, Split(2, 1, 2)),  # no more than the process's share
        (10, 4, 1, Split(1, 5, 2)),  # 4 and 3 do not divide 10
        (7, 4, 1, Split(1, 7, 1)),
    ],
)
def test_every_process_gets_equal_micro_batches_as_large_as_allowed(global_batch, batch, processes, expected):
    assert split(global_batch, batch, processes) == expected


def test_processes_that_cannot_share_a_step_evenly():
    with pytest.raises(UserError, match="global_batch=12 cannot be shared out evenly among 5 processes") as caught:
        split(12, 4, 5)
    assert "1, 2, 3, 4, 6, 12 of them" in caught.value.fix and "global_batch=15" in caught.value.fix


@pytest.mark.parametrize("parts", [Split(1, 1, 4), Split(2, 1, 2), Split(1, 2, 2), Split(2, 2, 1)])
def test_every_split_uses_the_same_items(parts):
    steps = [
        sorted(n for rank in range(parts.processes) for n in item_numbers(step, step + 1, parts, rank))
        for step in range(3)
    ]
    assert steps == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
