"""A method and a metric in one small package: all that a plugin needs. Importing it imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.method import Complexity, Method, MethodInfo, MethodPlugin, Restored, Runtime
from harness.metric import Direction, ImageMetric, Metric, Reference


@dataclass(frozen=True)
class NearestOptions:
    """Nearest-neighbour enlargement has nothing to choose."""


class _Nearest:
    def __init__(self, scale: int) -> None:
        self._scale = scale

    def restore(self, lr, *, image: str, seed: int) -> Restored:
        rows = lr.repeat_interleave(self._scale, dim=1)
        return Restored(rows.repeat_interleave(self._scale, dim=2))

    def complexity(self, height: int, width: int) -> Complexity:
        return Complexity(macs=0, params_total=0)

    def fingerprint(self, image: str) -> str:
        return ""


def _build(options: NearestOptions, runtime: Runtime) -> Method:
    return _Nearest(runtime.scale)


def _build_mae(device: str) -> ImageMetric:
    import numpy as np

    from harness.images import read_rgb

    def mae(restored: Path, hr: Path | None) -> float:
        assert hr is not None
        return float(np.abs(read_rgb(restored).astype(float) - read_rgb(hr)).mean())

    return mae


NEAREST = MethodPlugin(
    info=MethodInfo(id="nearest", title="Nearest", summary="Repeats each pixel.", licence="Apache-2.0"),
    options=NearestOptions,
    build=_build,
)

MAE = Metric(
    id="mae",
    title="MAE",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour="RGB",
    protocol="mean over all pixels and channels, grey levels",
    build=_build_mae,
)
