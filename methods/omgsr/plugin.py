"""OMGSR-S as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.omgsr.options import OmgsrOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="omgsr",
        title="OMGSR-S",
        summary="One-step diffusion from a mid timestep that the VAE encoder is taught to land on.",
        license="none stated: no LICENSE file was found in the authors' repository",
        citation=(
            "@misc{wu2025omgsr, title={OMGSR: You Only Need One Mid-timestep Guidance for Real-World Image "
            "Super-Resolution}, author={Wu, Zhiqiang and Sun, Zhaomang and Zhou, Tong and Fu, Bingtao and Cong, Ji and "
            "Dong, Yitong and Zhang, Huaqi and Tang, Xuan and Chen, Mingsong and Wei, Xian}, year={2025}, "
            "eprint={2508.08227}, archivePrefix={arXiv}}"
        ),
        training_data=("LSDIR", "10k of FFHQ"),
        trained_on_metrics=("lpips", "lpips-vgg"),
        needs=(
            "Stable Diffusion 2.1-base: isrbench fetch training --preset sd21",
            "the authors' folder of adapters, OMGSR-S-512",
        ),
    ),
    options=OmgsrOptions,
    build="isrbench.methods.omgsr.method:build",
)
