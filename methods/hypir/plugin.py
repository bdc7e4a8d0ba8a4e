"""HYPIR-SD2 as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.hypir.options import WEIGHTS, HypirOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="hypir",
        title="HYPIR-SD2",
        summary="One-step diffusion whose UNet was tuned with a large LoRA against a discriminator.",
        license=(
            "non-commercial use only (declaration in the authors' README; a public fork holds it as HYPIR Software "
            "License Agreement, SupPixel Pty Ltd; the authors' own file was not seen)"
        ),
        citation=(
            "@misc{lin2025hypir, title={Harnessing Diffusion-Yielded Score Priors for Image Restoration}, author={Lin, "
            "Xinqi and Yu, Fanghua and Hu, Jinfan and You, Zhiyuan and Shi, Wu and Ren, Jimmy S. and Gu, Jinjin and "
            "Dong, Chao}, year={2025}, eprint={2507.20590}, archivePrefix={arXiv}}"
        ),
        training_data=("photos of the authors, not published",),
        trained_on_metrics=("lpips", "lpips-vgg"),
        needs=(
            "Stable Diffusion 2.1-base: isrbench fetch training --preset sd21",
            "isrbench fetch weights --method hypir",
        ),
    ),
    options=HypirOptions,
    build="isrbench.methods.hypir.method:build",
    weights=(WEIGHTS,),
)
