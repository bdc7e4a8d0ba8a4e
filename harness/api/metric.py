"""What a metric is to the harness: a declaration, and a way to build the function that computes it. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from isrbench.harness.api.targets import load_target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Direction(str, Enum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"

    @property
    def arrow(self) -> str:
        """Return the arrow that tables print."""
        return "↑" if self is Direction.HIGHER else "↓"


class Reference(str, Enum):
    """What a metric compares a restored image to."""

    FULL = "full"
    """The HR image of the same pair."""
    NONE = "none"
    """Nothing: the restored image alone."""
    SET = "set"
    """The whole set of restored images against the whole set of HR images; one value per run."""


@dataclass(frozen=True)
class WeightFile:
    """A file that a metric or a method needs before it can compute."""

    path: str
    """Where it lies below ``torch.hub.get_dir()``, such as ``pyiqa/musiq_koniq_ckpt-e95806b9.pth``."""
    url: str
    """Where it is fetched from."""
    sha256: str | None = None
    """Expected hash (or its leading digits), checked after a download; None where none is published."""
    strict: bool = False
    """Check the hash before every use too: for a file that its library would download again on a mismatch."""
    packaged: str = ""
    """Where an installed package holds the same file, such as ``lpips/weights/v0.1/alex.pth``; empty where none does.
    It is copied from there instead of fetched, if its hash fits."""


Pixels = Union["NDArray[np.uint8]", None]
ImageMetric = Callable[["NDArray[np.uint8]", Pixels, Pixels], float]
"""``(restored, HR or None, LR or None) -> value``: uint8 (H, W, 3) RGB as read from their files. The harness decodes
each file once and hands the same read-only arrays to every metric. Must be safe to call from several threads."""
SetMetric = Callable[[Sequence[Path], Sequence[Path]], float]
"""``(restored PNGs, HR files) -> value``."""


@dataclass(frozen=True)
class Metric:
    """What an ``isrbench.metrics`` entry point names, and what our own table holds."""

    id: str
    title: str
    """As tables print it, such as ``PSNR``."""
    direction: Direction
    reference: Reference
    colour: str
    """The colour space computed in, such as ``Y of YCbCr (BT.601, 16-235)``."""
    definition: str
    """Everything else that the value depends on: border, variant, resizing, in one sentence."""
    build: Callable[..., ImageMetric | SetMetric] | str
    """``build(device, **settings)``, or where it is (``"module:function"``), loads what the metric needs and returns
    the function that computes it: an ImageMetric, or a SetMetric where ``reference`` is SET. Called once, and only when
    all of ``weights`` are there. What decides a score's version follows from it, as in ``MethodPlugin.build``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of ``build``: plain values."""
    weights: tuple[WeightFile, ...] = ()
    uses_lr: bool = False
    """Whether the function looks at the LR; others are given None."""
    min_side: int = 1
    """Least side, in pixels, of a square image of which its value says something. By default it is left out below;
    asked for by name it is computed where it can be, and otherwise this is the reason given."""
    unit: str = ""
    """``dB`` or empty."""
    decimals: int = 4
    """Digits after the point in tables, as the field prints them."""
    citation: str = ""
    """BibTeX, or empty."""

    def make(self, device: str) -> ImageMetric | SetMetric:
        """Build the function that computes the metric on ``device``, a torch device string."""
        build = load_target(self.build) if isinstance(self.build, str) else self.build
        return build(device, **self.settings)
