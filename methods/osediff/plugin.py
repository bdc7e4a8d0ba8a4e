"""OSEDiff as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.onestep.options import OneStepOptions

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
        trained_on_metrics=("lpips", "lpips-vgg"),
        needs=("nothing for base=tiny", "for base=sd21: Stable Diffusion 2.1-base and an adapter file"),
    ),
    options=OneStepOptions,
    build="isrbench.methods.osediff.method:build",
    train="isrbench.methods.osediff.training:train",
    needs="isrbench.methods.osediff.training:needs",
)
