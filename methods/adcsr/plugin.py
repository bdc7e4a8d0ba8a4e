"""AdcSR as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.adcsr.options import AdcSROptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="adcsr",
        title="AdcSR",
        summary="OSEDiff's network without encoder, prompt, cross-attention and a quarter of its channels; x4 only.",
        license="none stated: no LICENSE file was found in the authors' repository",
        citation=(
            "@inproceedings{chen2025adcsr, title={Adversarial Diffusion Compression for Real-World Image "
            "Super-Resolution}, author={Chen, Bin and Li, Gehui and Wu, Rongyuan and Zhang, Xindong and Chen, Jie and "
            "Zhang, Jian and Zhang, Lei}, booktitle={CVPR}, year={2025}}"
        ),
        training_data=("LSDIR",),
        needs=(
            "the authors' network: hf download Guaishou74851/AdcSR weight/net_params_200.pkl",
            "their decoder: hf download Guaishou74851/AdcSR weight/pretrained/halfDecoder.ckpt",
        ),
    ),
    options=AdcSROptions,
    build="isrbench.methods.adcsr.method:build",
)
