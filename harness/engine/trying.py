"""One photo through several methods that stay loaded, with what there is to see of each: what the demo shows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isrbench.harness.api.method import Method, RoutingTrace, Runtime
from isrbench.harness.api.options import read_options
from isrbench.harness.api.records import Failure
from isrbench.harness.api.registry import methods
from isrbench.harness.determinism import exclusive, make_deterministic
from isrbench.harness.engine.arguments import device_of
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import get_estimator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Loaded:
    """A method that is ready to run."""

    id: str
    title: str
    """With its variant, such as ``MoR-SR (tiny)``."""
    method: Method


@dataclass(frozen=True)
class Tried:
    """What a method made of a photo."""

    title: str
    pixels: NDArray[np.uint8] | None
    """(scale*H, scale*W, 3); None where ``failure`` says why."""
    seconds: float
    """Of the method's ``restore`` with what rounds its result."""
    trace: RoutingTrace | None
    """Active experts per layer, of a method that routes."""
    failure: Failure | None = None


def load_method(id: str, scale: int, device: str) -> Loaded:
    """Build a method with its default options.

    Args:
        id: Its id.
        scale: How many times larger.
        device: ``auto``, or a torch device.

    Raises:
        UserError: If there is no such method, or it cannot run here, for want of weights say.
    """
    plugin = methods().get(id)
    runtime = Runtime(scale=scale, device=device_of(device))
    method = plugin.make(read_options(plugin, {}), runtime)
    make_deterministic(runtime.device)
    variant = getattr(method, "variant", "")
    return Loaded(id, f"{plugin.info.title} ({variant})" if variant else plugin.info.title, method)


def try_methods(
    pixels: NDArray[np.uint8], loaded: Sequence[Loaded], scale: int, device: str, seed: int = 0
) -> Iterator[Tried]:
    """Restore a photo by each method in turn; one that fails does not stop the others.

    Args:
        pixels: uint8 (H, W, 3).
        loaded: The methods.
        scale: As they were loaded with.
        device: Likewise; what runs on it runs alone.
        seed: Of stochastic methods.
    """
    for own in loaded:
        begun = time.perf_counter()
        try:
            with exclusive(device_of(device)):
                begun = time.perf_counter()  # without the wait for another visitor's photo
                restored, trace = restore_pixels(own.method, pixels, "photo", seed, scale)
        except Exception as error:
            yield Tried(own.title, None, time.perf_counter() - begun, None, Failure.of(error))
        else:
            yield Tried(own.title, restored, time.perf_counter() - begun, trace)


def severity_of(pixels: NDArray[np.uint8], estimator: str = "tiny", device: str = "cpu") -> dict[str, float]:
    """Return how degraded a photo looks, in [0, 1] by dimension.

    Args:
        pixels: uint8 (H, W, 3).
        estimator: As ``isrbench eval --estimator``.
        device: A torch device.
    """
    values = get_estimator(estimator, device).estimate(to_tensor(pixels)[None])[0].tolist()
    return dict(zip(DIMENSIONS, values, strict=True))
