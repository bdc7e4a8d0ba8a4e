"""MoR-SR as a plugin. Torch-free; building and training import what they need."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.harness.api.method import Method, MethodInfo, MethodPlugin, Runtime
from isrbench.methods.onestep.options import RoutedOptions

CITATION = (
    "@inproceedings{he2026mor, title={Mixture of Ranks with Degradation-Aware Routing for One-Step Real-World Image "
    "Super-Resolution}, author={He, Xiao and others}, booktitle={AAAI}, year={2026}, note={arXiv 2511.16024}}"
)


def _build(options: RoutedOptions, runtime: Runtime) -> Method:
    from isrbench.methods.onestep.infer.method import build_method

    return build_method(options, runtime, _kind())


def _train(argv: Sequence[str]) -> int:
    from isrbench.methods.onestep.train.run import train

    return train(argv, _kind())


def _kind():  # noqa: ANN202 - its type would import torch
    from isrbench.methods.mor.adapter import attach
    from isrbench.methods.mor.config import MoRConfig
    from isrbench.methods.onestep.train.networks import AdapterKind

    return AdapterKind("mor", MoRConfig(), attach)


PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="mor",
        title="MoR-SR",
        summary="One-step diffusion with a mixture of ranks: the more degraded an image, the more ranks it gets.",
        license="Apache-2.0",
        citation=CITATION,
        training_data=("BSDS500 train and val (tiny preset)",),
        needs=("nothing for base=tiny", "for base=sd21: Stable Diffusion 2.1-base, an adapter file and a CLIP model"),
        routes=True,
        code=("isrbench.methods.onestep",),
    ),
    options=RoutedOptions,
    build=_build,
    train=_train,
)
