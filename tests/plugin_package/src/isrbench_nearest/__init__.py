"""A method, two metrics and a dataset card: all that a plugin package needs. Importing it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.method import Cost, Method, MethodInfo, MethodPlugin, Restored, Runtime
from isrbench.harness.api.metric import Direction, ImageMetric, Metric, Reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class NearestOptions:
    """Nearest-neighbour enlargement has nothing to choose."""


class _Nearest:
    weights_hash = ""  # nothing but the options decides an image

    def __init__(self, scale: int) -> None:
        self._scale = scale

    def restore(self, lr, *, image: str, seed: int) -> Restored:
        rows = lr.repeat_interleave(self._scale, dim=1)
        return Restored(rows.repeat_interleave(self._scale, dim=2))

    def cost(self, height: int, width: int) -> Cost:
        return Cost(macs=0, params_total=0)

    def input_hash(self, image: str) -> str:
        return ""  # an image has no input besides its LR


def _build(options: NearestOptions, runtime: Runtime) -> Method:
    return _Nearest(runtime.scale)


def _build_mae(device: str) -> ImageMetric:
    def mae(restored: NDArray[np.uint8], hr: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None) -> float:
        assert hr is not None  # a full-reference metric is only asked where there is an HR image
        return float(abs(restored.astype(float) - hr).mean())

    return mae


def _build_brightness(device: str) -> ImageMetric:
    def brightness(restored: NDArray[np.uint8], hr: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None) -> float:
        assert lr is not None  # a metric with uses_lr=True is only asked where there is an LR image
        return float(abs(restored.mean() - lr.mean()))

    return brightness


NEAREST = MethodPlugin(
    info=MethodInfo(id="nearest", title="Nearest", summary="Repeats each pixel.", license="Apache-2.0"),
    options=NearestOptions,
    build=_build,
)

NIGHT = Path(__file__).with_name("night.toml")

MAE = Metric(
    id="mae",
    title="MAE",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour="RGB",
    definition="mean over all pixels and channels, in grey levels",
    build=_build_mae,
)

BRIGHTNESS = Metric(
    id="brightness",
    title="Brightness",
    direction=Direction.LOWER,
    reference=Reference.NONE,
    uses_lr=True,
    colour="RGB",
    definition="difference of the means of the restored image and the LR over all pixels and channels, in grey levels",
    build=_build_brightness,
)
