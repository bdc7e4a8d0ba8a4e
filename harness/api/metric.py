"""What a metric is to the harness: a declaration, and a way to build the function that computes it. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from isrbench.harness.api.containment import contained
from isrbench.harness.api.declared import check_fields, check_id
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
    """The published file's hash, checked after a download and before every use. Its leading digits tell a wrong file,
    but prove nothing: with fewer than 64 digits, or None, the file is read as data alone, and every table says so."""
    packaged: str = ""
    """Where an installed package holds the same file, such as ``lpips/weights/v0.1/alex.pth``; empty where none does.
    It is copied from there instead of fetched, if its whole hash fits."""
    size: int = 0
    """Bytes, where they are known; a download that announces or sends more is stopped."""

    @property
    def proof(self) -> bool:
        """Whether the hash is whole: a file that has it is the published one."""
        return self.sha256 is not None and len(self.sha256) == 64


Pixels = Union["NDArray[np.uint8]", None]
ImageMetric = Callable[["NDArray[np.uint8]", Pixels, Pixels], float]
"""``(restored, HR or None, LR or None) -> value``: uint8 (H, W, 3) RGB as read from their files. The harness decodes
each file once and hands read-only arrays to every metric. Must be safe to call from several threads."""
SetMetric = Callable[[Sequence[Path], Sequence[Path]], float]
"""``(restored PNGs, HR files) -> value``."""


@dataclass(frozen=True)
class Metric:
    """What an ``isrbench.metrics`` entry point names, and what our own table holds.

    Raises:
        TypeError: If a field is of another type, or ``settings`` holds what JSON does not.
        ValueError: If the id holds more than letters, digits and ``. _ + -``, ``min_side`` is below 1, or ``decimals``
            is not in 0 to 17.
    """

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

    def __post_init__(self) -> None:
        check_fields(
            self, id=str, title=str, direction=Direction, reference=Reference, colour=str, definition=str,
            settings=Mapping, weights=(tuple, list), uses_lr=bool, min_side=int, unit=str, decimals=int, citation=str,
        )  # fmt: skip
        check_id(self)
        object.__setattr__(self, "weights", tuple(self.weights))
        if not all(isinstance(file, WeightFile) for file in self.weights):
            raise TypeError(f"Metric.weights is {self.weights!r}, but has to be a tuple of WeightFile")
        if not callable(self.build) and not (isinstance(self.build, str) and ":" in self.build):
            raise TypeError(f"Metric.build is {self.build!r}, but has to be a function or 'module:function'")
        json.dumps(dict(self.settings))  # raises a TypeError that says what JSON does not hold
        if self.min_side < 1 or not 0 <= self.decimals <= 17:
            raise ValueError(
                f"Metric.min_side is {self.min_side} and decimals {self.decimals}: below 1, or not 0 to 17"
            )

    def make(self, device: str) -> ImageMetric | SetMetric:
        """Build the function that computes the metric on ``device``, a torch device string.

        Raises:
            PluginExit: If the code that builds it tries to end the process; else whatever it raises.
        """
        with contained():
            build = load_target(self.build) if isinstance(self.build, str) else self.build
            return build(device, **self.settings)
