"""The ``bicubic`` and ``lanczos`` entry points."""

from __future__ import annotations

from dataclasses import dataclass

from isrbench.harness.api.method import MethodInfo, MethodPlugin


@dataclass(frozen=True)
class NoOptions:
    """Interpolation has no options."""


BICUBIC = MethodPlugin(
    info=MethodInfo(
        id="bicubic",
        title="Bicubic",
        summary="PIL's bicubic interpolation (a = -0.5) of the 8-bit image.",
        license="Apache-2.0",
        citation=(
            "@article{keys1981cubic, title={Cubic convolution interpolation for digital image processing}, "
            "author={Keys, Robert}, journal={IEEE Transactions on Acoustics, Speech, and Signal Processing}, "
            "volume={29}, number={6}, pages={1153--1160}, year={1981}}"
        ),
    ),
    options=NoOptions,
    build="isrbench.methods.classical.resize:bicubic",
)

LANCZOS = MethodPlugin(
    info=MethodInfo(
        id="lanczos",
        title="Lanczos",
        summary="PIL's Lanczos interpolation (three lobes) of the 8-bit image.",
        license="Apache-2.0",
        citation=(
            "@article{duchon1979lanczos, title={Lanczos filtering in one and two dimensions}, "
            "author={Duchon, Claude E.}, journal={Journal of Applied Meteorology}, "
            "volume={18}, number={8}, pages={1016--1022}, year={1979}}"
        ),
    ),
    options=NoOptions,
    build="isrbench.methods.classical.resize:lanczos",
)
