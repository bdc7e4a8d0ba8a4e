"""MoR-SR as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.onestep.options import MixtureOptions

CITATION = (
    "@inproceedings{he2026mor, title={Mixture of Ranks with Degradation-Aware Routing for One-Step Real-World Image "
    "Super-Resolution}, author={He, Xiao and others}, booktitle={AAAI}, year={2026}, note={arXiv 2511.16024}}"
)

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="mor",
        title="MoR-SR",
        summary="Mixture of ranks, also called MoR-DASR: one-step diffusion that gives degraded images more ranks.",
        license="Apache-2.0",
        citation=CITATION,
        training_data=("BSDS500 train and val (tiny preset)",),
        trained_on_metrics=("lpips", "lpips-vgg"),
        needs=("nothing for base=tiny", "for base=sd21: Stable Diffusion 2.1-base, an adapter file and a CLIP model"),
        routes=True,
    ),
    options=MixtureOptions,
    build="isrbench.methods.mor.method:build",
    train="isrbench.methods.mor.training:train",
    needs="isrbench.methods.mor.training:needs",
)
