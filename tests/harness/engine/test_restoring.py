"""One image through a method: what a method is held to, wherever it is run."""

from __future__ import annotations

import numpy as np
import pytest

from isrbench.harness.api.method import Runtime
from isrbench.harness.engine.restoring import restore_pixels
from tests.support.nearest import Nearest, Options

LR = np.full((6, 5, 3), 100, np.uint8)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("raise", RuntimeError, "the method broke"),
        ("nan", ValueError, "1 values that are not finite"),
        ("shape", ValueError, "shape"),
        ("type", TypeError, "must return a Restored"),
        ("grey levels", ValueError, "divide by 255"),
        ("trace", ValueError, "no layers"),
    ],
)
def test_what_breaks_the_contract_is_refused(fault: str, error: type[Exception], message: str) -> None:
    method = Nearest(Options(fault, on="b"), Runtime(scale=4))
    with pytest.raises(error, match=message):
        restore_pixels(method, LR, "b", 0, 4)
    assert restore_pixels(method, LR, "a", 0, 4)[0].shape == (24, 20, 3)


def test_a_little_overshoot_is_clamped_and_the_seed_is_the_images_own() -> None:
    method = Nearest(Options("overshoot"), Runtime(scale=4))
    first, trace = restore_pixels(method, LR, "b", 0, 4)
    assert first.dtype == np.uint8 and trace is None
    assert np.array_equal(first, restore_pixels(method, LR, "b", 0, 4)[0])
    assert not np.array_equal(first, restore_pixels(method, LR, "b", 1, 4)[0])
