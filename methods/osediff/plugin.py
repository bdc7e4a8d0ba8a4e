"""OSEDiff as a plugin. Torch-free; building and training import what they need."""

from __future__ import annotations

from collections.abc import Sequence

from isrbench.harness.api.method import Method, MethodInfo, MethodPlugin, Runtime
from isrbench.methods.onestep.options import OneStepOptions


def _build(options: OneStepOptions, runtime: Runtime) -> Method:
    from isrbench.methods.onestep.infer.method import build_method
    from isrbench.methods.osediff.authors import read

    return build_method(options, runtime, _kind(), read)


def _train(argv: Sequence[str]) -> int:
    from isrbench.methods.onestep.train.run import train

    return train(argv, _kind())


def _kind():  # noqa: ANN202 - its type would import torch
    from isrbench.methods.onestep.train.networks import AdapterKind
    from isrbench.methods.osediff.adapter import DenseConfig, attach

    return AdapterKind("osediff", DenseConfig(), attach, routes=False)


PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="osediff",
        title="OSEDiff",
        summary="One-step diffusion with a dense LoRA on the UNet and the VAE encoder.",
        license="Apache-2.0",
        citation=(
            "@inproceedings{wu2024osediff, title={One-Step Effective Diffusion Network for Real-World Image "
            "Super-Resolution}, author={Wu, Rongyuan and Sun, Lingchen and Ma, Zhiyuan and Zhang, Lei}, "
            "booktitle={NeurIPS}, year={2024}}"
        ),
        training_data=("BSDS500 train and val (tiny preset)", "LSDIR and 10k of FFHQ (the authors' osediff.pkl)"),
        needs=("nothing for base=tiny", "for base=sd21: Stable Diffusion 2.1-base and an adapter file"),
        code=("isrbench.methods.onestep",),
    ),
    options=OneStepOptions,
    build=_build,
    train=_train,
)
