"""S3Diff, ready to restore."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.adapter import Adapter
from isrbench.methods.onestep.base.diffusion import DiffusionBase, Pass
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.method import OneStepMethod, Passes
from isrbench.methods.s3diff.adapter import SPEC
from isrbench.methods.s3diff.authors import read
from isrbench.methods.s3diff.degradation import DegradationScores
from isrbench.methods.s3diff.options import NEGATIVE, POSITIVE, S3DiffOptions


def build(options: S3DiffOptions, runtime: Runtime) -> OneStepMethod:
    """Load SD-Turbo, the LoRAs and the network that routes them; see ``onestep.infer.building.build_method``.

    Raises:
        UserError: As there; if the degradation network is not given or does not load; if a negative prompt is given,
            but the base takes no text.
    """
    scores = None
    if options.adapter is not None and options.severities is None and not options.adapter_off:
        if options.de_net is None:
            raise UserError(
                "s3diff needs the network that estimates blur and noise",
                "get assets/mm-realsr/de_net.pth of github.com/ArcticHare105/S3Diff, and add -o de_net=FILE",
            )
        scores = DegradationScores.load(options.de_net, runtime.device)

    def passes(base: DiffusionBase, adapter: Adapter) -> Passes:
        if options.negative_prompt != NEGATIVE and not base.text.takes_text:
            raise UserError(
                f"base '{options.base}' has fixed prompts and takes no negative_prompt", "leave out -o negative_prompt="
            )
        return guided(base.text.pair(POSITIVE, options.negative_prompt)[1], options.guidance)

    method = build_method(options, runtime, SPEC, read, scores=scores, passes=passes)
    return replace(method, cut_source=True)  # the script makes an 8-bit image of it


def guided(negative: Tensor, scale: float) -> Passes:
    """Return the passes of classifier-free guidance: e(negative) + scale * (e(image's prompt) - e(negative)).

    Args:
        negative: Embedding (1, tokens, width) of the negative prompt.
        scale: Strength; at 1 a single pass makes that sum.
    """

    def passes(embedding: Tensor) -> tuple[Pass, ...]:
        if scale == 1:
            return (Pass(embedding),)
        return Pass(embedding, scale), Pass(negative, 1 - scale)

    return passes
