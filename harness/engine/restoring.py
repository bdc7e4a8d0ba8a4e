"""One image through a method: what every restored image of a run goes through, and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.containment import contained
from isrbench.harness.api.method import Method, Restored, RoutingTrace
from isrbench.harness.identity import image_seed
from isrbench.harness.imaging.images import to_pixels, to_tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

OVERSHOOT = 1e-3
"""How far beyond [0, 1] a value may lie, as rounding in a network leaves it; it is clamped."""


def restore_pixels(
    method: Method, lr: NDArray[np.uint8], image: str, seed: int, scale: int
) -> tuple[NDArray[np.uint8], RoutingTrace | None]:
    """Run a method on the 8-bit pixels of one image, hold it to its contract and round the result to 8 bits.

    Args:
        method: Ready to run.
        lr: uint8 (H, W, 3).
        image: The image's id.
        seed: The run's seed; the image's own comes from it and the id.
        scale: Upscaling factor.

    Returns:
        uint8 (scale*H, scale*W, 3), and the routing of a method that routes.

    Raises:
        TypeError: As :func:`restore_one`.
        ValueError: As :func:`restore_one`.
        PluginExit: As :func:`restore_one`.
    """
    restored = restore_one(method, to_tensor(lr), image, seed, scale)
    return to_pixels(restored.image), restored.trace


def restore_one(method: Method, lr: Tensor, image: str, seed: int, scale: int) -> Restored:
    """Run a method on one image and hold it to its contract.

    Args:
        method: Ready to run.
        lr: float32 (3, H, W) in [0, 1].
        image: The image's id.
        seed: The run's seed; the image's own comes from it and the id.
        scale: Upscaling factor.

    Raises:
        TypeError: If the method returns something else than a ``Restored`` with a tensor of floats and a trace or none.
        ValueError: If the image is not (3, scale*H, scale*W), not finite, or beyond [0, 1] by more than OVERSHOOT; if
            a count of the trace is no integer that can be stored.
        PluginExit: If its code tries to end the process; else whatever it raises.
    """
    expected = (3, lr.shape[1] * scale, lr.shape[2] * scale)
    with contained():
        restored = method.restore(lr, image=image, seed=image_seed(seed, image))
        if not isinstance(restored, Restored):
            raise TypeError(f"restore must return a Restored, not {type(restored).__name__}")
        return Restored(_checked_image(restored.image, expected), _plain_trace(restored.trace))


def _checked_image(image: Any, expected: tuple[int, int, int]) -> Tensor:
    import torch

    if not isinstance(image, torch.Tensor):
        raise TypeError(f"restore must return a Restored with a tensor, not {type(image).__name__}")
    if tuple(image.shape) != expected:
        raise ValueError(f"restore returned shape {tuple(image.shape)}, not {expected}")
    if not image.is_floating_point() or image.layout is not torch.strided or image.is_meta:
        kind = "values on the meta device" if image.is_meta else f"{image.dtype} values, {image.layout}"
        hint = " (grey levels? divide by 255)" if image.dtype is torch.uint8 else ""
        raise TypeError(f"restore returned {kind}; dense floats in [0, 1] are wanted{hint}")
    image = image.detach()
    low, high = (float(extreme) for extreme in torch.aminmax(image))  # NaN where one is
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"restore returned {int((~torch.isfinite(image)).sum())} values that are not finite")
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        hint = " (grey levels? divide by 255)" if high > 2 else ""
        raise ValueError(f"restore returned values from {low:.4g} to {high:.4g}; they have to lie in [0, 1]{hint}")
    return image


def _plain_trace(trace: Any) -> RoutingTrace | None:
    """Return a trace made anew: a subclass need not have made its numbers plain."""
    if trace is None:
        return None
    if not isinstance(trace, RoutingTrace):
        raise TypeError(f"a Restored's trace must be a RoutingTrace, not {type(trace).__name__}")
    return RoutingTrace(trace.layers, trace.active, trace.zero, trace.macs, trace.params)
