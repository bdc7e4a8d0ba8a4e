"""LoRA + MoE as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.mor.plugin import CITATION
from isrbench.methods.onestep.options import MixtureOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="lora_moe",
        title="LoRA + MoE",
        summary="One-step diffusion with whole LoRAs as experts, one shared and one picked by degradation.",
        license="Apache-2.0",
        citation=CITATION,
        training_data=("BSDS500 train and val (tiny preset)",),
        trained_on_metrics=("lpips", "lpips-vgg"),
        needs=("nothing for base=tiny", "for base=sd21: Stable Diffusion 2.1-base, an adapter file and a CLIP model"),
        routes=True,
    ),
    options=MixtureOptions,
    build="isrbench.methods.lora_moe.method:build",
    train="isrbench.methods.lora_moe.training:train",
    needs="isrbench.methods.lora_moe.training:needs",
)
