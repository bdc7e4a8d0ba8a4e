"""The ``ncnn`` entry point: any super-resolution network in ncnn's format."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.ncnn.options import NcnnOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="ncnn",
        title="ncnn",
        summary="Any super-resolution network in ncnn's format (.param and .bin), run by ncnn on CPU or Vulkan.",
        license="that of the weights (ncnn itself: BSD-3-Clause)",
        citation="@misc{ncnn, title={ncnn}, author={{Tencent}}, howpublished={https://github.com/Tencent/ncnn}}",
        needs=("the package ncnn", "a .param and a .bin file"),
    ),
    options=NcnnOptions,
    build="isrbench.methods.ncnn.network:load",
)
