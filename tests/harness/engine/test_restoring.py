"""One image through a method: what a method is held to, wherever it is run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import Restored, RoutingTrace, Runtime
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


class Returns:
    """Returns what it was made with."""

    weights_hash = ""

    def __init__(self, what: object) -> None:
        self.what = what

    def restore(self, lr: torch.Tensor, *, image: str, seed: int) -> Restored:
        return self.what  # type: ignore[return-value]

    def cost(self, height: int, width: int): ...

    def input_hash(self, image: str) -> str:
        return ""


IMAGE = torch.full((3, 24, 20), 0.5)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (IMAGE.numpy(), "not ndarray"),
        (IMAGE[None], "shape"),
        (IMAGE.permute(1, 2, 0), "shape"),
        (IMAGE.mul(255).to(torch.uint8), "torch.uint8 values.*divide by 255"),
        (torch.zeros(3, 24, 20, dtype=torch.int64), "dense floats"),
        (torch.zeros(3, 24, 20, dtype=torch.bool), "dense floats"),
        (torch.zeros(3, 24, 20, dtype=torch.complex64), "dense floats"),
        (IMAGE.to_sparse(), "dense floats"),
        (IMAGE.to("meta"), "meta device"),
        (IMAGE / 0, "not finite"),
    ],
)
def test_images_that_are_none_are_refused(image: object, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        restore_pixels(Returns(Restored(image)), LR, "a", 0, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floats_of_every_width_are_taken_and_gradients_are_left_behind(dtype: torch.dtype) -> None:
    expected = restore_pixels(Returns(Restored(IMAGE)), LR, "a", 0, 4)[0]
    given = Returns(Restored(IMAGE.to(dtype).requires_grad_()))
    assert np.array_equal(restore_pixels(given, LR, "a", 0, 4)[0], expected)


@dataclass(frozen=True)
class Careless(RoutingTrace):
    """Keeps its numbers as they come."""

    def __post_init__(self) -> None: ...


def test_a_trace_is_made_plain_whatever_class_it_has() -> None:
    careless = Careless(("x",), (np.int64(3),), (np.int64(1),), macs=np.int64(7))  # type: ignore[arg-type]
    trace = restore_pixels(Returns(Restored(IMAGE, careless)), LR, "a", 0, 4)[1]
    assert trace == RoutingTrace(("x",), (3,), (1,), macs=7) and trace is not None and type(trace.macs) is int
    with pytest.raises(ValueError, match="macs of a routing trace"):
        restore_pixels(Returns(Restored(IMAGE, Careless(("x",), (3,), (1,), macs=2**70))), LR, "a", 0, 4)
    with pytest.raises(TypeError, match="must be a RoutingTrace, not dict"):
        restore_pixels(Returns(Restored(IMAGE, {"x": 3})), LR, "a", 0, 4)  # type: ignore[arg-type]
