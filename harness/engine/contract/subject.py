"""A method that is checked, and the images that it is tried on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from isrbench.harness.api.method import Method, MethodPlugin, Restored, Runtime
from isrbench.harness.api.steps import steps
from isrbench.harness.determinism import make_deterministic
from isrbench.harness.engine.arguments import device_of
from isrbench.harness.engine.remote import method_options
from isrbench.harness.engine.restoring import restore_one

if TYPE_CHECKING:
    from torch import Tensor

SIZES = {"odd": (17, 23), "square": (32, 32), "thin": (9, 40)}
"""LR images that methods are tried on: (height, width) in pixels by id."""
SEED = 3


@dataclass(frozen=True)
class Subject:
    """A method that is checked: its plugin, the options it was built with, and what came of it."""

    plugin: MethodPlugin
    options: Any
    method: Method
    runtime: Runtime

    def restored(self, image: str, seed: int = SEED, method: Method | None = None) -> Restored:
        """Restore one of SIZES; held to shape, dtype, finite values and range as in a run."""
        return restore_one(method or self.method, noise(image), image, seed, self.runtime.scale)


def noise(image: str) -> Tensor:
    """Return the LR called ``image``, one of SIZES: float32 (3, H, W) in [0, 1], the same every time."""
    import torch

    pixels = np.random.default_rng(len(image)).integers(0, 256, (3, *SIZES[image]), dtype=np.uint8)
    return torch.from_numpy(pixels).float().div(255)


def subject_of(plugin: MethodPlugin, options: Mapping[str, str], scale: int = 4, device: str = "cpu") -> Subject:
    """Build a method for its checks.

    Raises:
        UserError: If options do not fit or the method cannot be built.
    """
    own = method_options(plugin, options)
    steps.info("loading %s...", plugin.info.id)
    runtime = Runtime(scale, device_of(device))
    make_deterministic(runtime.device)
    return Subject(plugin, own, plugin.make(own, runtime), runtime)
