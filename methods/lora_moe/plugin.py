"""LoRA + MoE as a plugin. Torch-free; building and training import what they need."""

from __future__ import annotations

from collections.abc import Sequence

from harness.method import Method, MethodInfo, MethodPlugin, Runtime
from methods.mor.plugin import CITATION
from methods.onestep.options import RoutedOptions


def _build(options: RoutedOptions, runtime: Runtime) -> Method:
    from methods.onestep.pipeline import build_method

    return build_method(options, runtime, _kind())


def _train(argv: Sequence[str]) -> int:
    from methods.onestep.train import train

    return train(argv, _kind())


def _kind():  # noqa: ANN202 - its type would import torch
    from methods.lora_moe.adapter import LORA_MOE, attach
    from methods.onestep.networks import AdapterKind

    return AdapterKind("lora_moe", LORA_MOE, attach)


PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="lora_moe",
        title="LoRA + MoE",
        summary="One-step diffusion with whole LoRAs as experts, one shared and one picked by degradation.",
        licence="Apache-2.0",
        citation=CITATION,
        training_data=("BSDS500 train and val (tiny preset)",),
        needs=("nothing for base=tiny", "for base=sd21: Stable Diffusion 2.1-base, an adapter file and a CLIP model"),
        routes=True,
        code=("methods.onestep", "methods.mor"),
    ),
    options=RoutedOptions,
    build=_build,
    train=_train,
)
