"""LoRA + MoE as a plugin. Torch-free; building and training import what they need."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.harness.api.method import Method, MethodInfo, MethodPlugin, Runtime
from isrbench.methods.mor.plugin import CITATION
from isrbench.methods.onestep.options import RoutedOptions


def _build(options: RoutedOptions, runtime: Runtime) -> Method:
    from isrbench.methods.onestep.infer.method import build_method

    return build_method(options, runtime, _kind())


def _train(argv: Sequence[str]) -> int:
    from isrbench.methods.onestep.train.run import train

    return train(argv, _kind())


def _kind():  # noqa: ANN202 - its type would import torch
    from isrbench.methods.lora_moe.adapter import LORA_MOE, attach
    from isrbench.methods.onestep.train.networks import AdapterKind

    return AdapterKind("lora_moe", LORA_MOE, attach)


PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="lora_moe",
        title="LoRA + MoE",
        summary="One-step diffusion with whole LoRAs as experts, one shared and one picked by degradation.",
        license="Apache-2.0",
        citation=CITATION,
        training_data=("BSDS500 train and val (tiny preset)",),
        needs=("nothing for base=tiny", "for base=sd21: Stable Diffusion 2.1-base, an adapter file and a CLIP model"),
        routes=True,
        code=("isrbench.methods.onestep", "isrbench.methods.mor"),
    ),
    options=RoutedOptions,
    build=_build,
    train=_train,
)
