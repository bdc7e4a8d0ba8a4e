"""What each arm of the routing study sets."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.studies.arms import OPTIONS, constant, make_arms, opposite, others, spread

VECTORS = {f"i{n}": [n / 10 + d / 100 for d in range(7)] for n in range(5)}


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(0, 2**32))
def test_every_image_is_given_another_one_s_severity(count: int, seed: int) -> None:
    vectors = {f"{n:02}": [n / 100] * 7 for n in range(count)}
    given_ = others(vectors, seed)
    assert sorted(given_) == sorted(vectors)
    assert sorted(map(tuple, given_.values())) == sorted(map(tuple, vectors.values())), "the set's own vectors"
    assert all(given_[image] != vectors[image] for image in vectors)
    assert others(dict(reversed(vectors.items())), seed) == given_, "whatever the order of the images"


def test_the_seed_decides_which_one() -> None:
    assert len({str(sorted(others(VECTORS, seed).items())) for seed in range(9)}) > 3


def test_constant_and_opposite() -> None:
    mean = constant(VECTORS)
    assert len({tuple(vector) for vector in mean.values()}) == 1
    assert mean["i0"] == pytest.approx(np.mean(list(VECTORS.values()), axis=0))
    turned = opposite({**VECTORS, "i2": [0.9] * 7})  # ranks: i0 i1 i3 i4 i2
    assert turned == {"i0": [0.9] * 7, "i2": VECTORS["i0"], "i1": VECTORS["i4"], "i4": VECTORS["i1"],
                      "i3": VECTORS["i3"]}  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "shown"),
    [(range(8, 17), [8, 10, 12, 14, 16]), ((8, 16), [8, 16]), ((), []), (range(4, 37), [4, 12, 20, 28, 36])],
)
def test_fixed_numbers_go_from_end_to_end(counts, shown) -> None:
    assert spread(tuple(counts)) == shown


def test_the_arms_are_those_that_the_method_offers(tmp_path: Path) -> None:
    arms = make_arms(VECTORS, OPTIONS, range(8, 17), 0, tmp_path)
    fixed = [f"k={k}" for k in (8, 10, 12, 14, 16)]
    assert [arm.id for arm in arms] == ["own", "other", "constant", "opposite", "off", *fixed]
    assert arms[0].options == {} and arms[4].options == {"adapter_off": "true"} and arms[5].options == {"active": "8"}
    assert len({arm.suffix for arm in arms}) == len(arms), "no two arms share a name"
    with Path(arms[1].options["severities"]).open(newline="") as file:
        rows = {row["image"]: [float(row[name]) for name in DIMENSIONS] for row in csv.DictReader(file)}
    assert rows == others(VECTORS, 0), "to the last digit"
    assert [arm.id for arm in make_arms(VECTORS, ["adapter_off"], (1, 2), 0, tmp_path)] == ["own", "off"]
