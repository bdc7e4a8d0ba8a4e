"""The two LoRAs of PiSA-SR, and its step: the UNet predicts what is to be taken off the LR's latents, at t = 1.

Source: Sun et al., "Pixel-level and Semantic-level Adjustable Super-resolution: A Dual-LoRA Approach" (2024), and its
published inference code.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.base.diffusion import Pass
from isrbench.methods.onestep.infer.method import Passes
from isrbench.methods.onestep.lora import LoraAdapter, LoraConfig, attach

PIXEL, SEMANTIC = LORAS = ("pix", "sem")

SPEC = AdapterSpec(
    "pisa",
    LoraConfig(),
    attach,
    routes=False,
    prediction="residual",
    source="pisa_sr.pkl from the link in the README of github.com/csslc/PiSA-SR (and Stable Diffusion 2.1-base: "
    "isrbench fetch training --preset sd21)",
)


def adjusted(adapter: LoraAdapter, pix: float, sem: float) -> Passes:
    """Return the passes of a strength of each LoRA.

    The paper adds pix * e(pixel LoRA) and sem * (e(both LoRAs) - e(pixel LoRA)), where e is what the UNet predicts.

    Args:
        adapter: With both LoRAs.
        pix: Strength of the pixel LoRA.
        sem: Strength of the semantic LoRA.

    Returns:
        One pass where a single one makes that sum, else two.
    """

    def passes(embedding: Tensor) -> tuple[Pass, ...]:
        pixels = Pass(embedding, pix - sem, partial(adapter.use, PIXEL))
        both = Pass(embedding, sem, partial(adapter.use, PIXEL, SEMANTIC))
        if pix == sem:
            return (both,)
        return (pixels,) if sem == 0 else (pixels, both)

    return passes
