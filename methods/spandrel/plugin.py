"""The ``spandrel`` entry point: any .pth or .safetensors that spandrel recognises."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.spandrel.options import SpandrelOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="spandrel",
        title="Spandrel",
        summary="Any feed-forward network that spandrel recognises: ESRGAN, SwinIR, HAT, DAT, SPAN and others.",
        license="that of the weights (spandrel itself: MIT)",
        citation=(
            "@misc{spandrel, title={spandrel}, author={{chaiNNer team}}, "
            "howpublished={https://github.com/chaiNNer-org/spandrel}}"
        ),
        needs=("a weight file",),
    ),
    options=SpandrelOptions,
    build="isrbench.methods.spandrel.network:load",
)
