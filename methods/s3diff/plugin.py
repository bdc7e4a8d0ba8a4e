"""S3Diff as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.s3diff.options import S3DiffOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="s3diff",
        title="S3Diff",
        summary="One-step diffusion whose LoRAs are modulated by the image's estimated blur and noise.",
        license=(
            "Apache-2.0 by the authors' README, no LICENSE file was found in their repository; "
            "SD-Turbo: Stability AI's own license"
        ),
        citation=(
            "@misc{zhang2024s3diff, title={Degradation-Guided One-Step Image Super-Resolution with Diffusion Priors}, "
            "author={Zhang, Aiping and Yue, Zongsheng and Pei, Renjing and Ren, Wenqi and Cao, Xiaochun}, "
            "year={2024}, eprint={2409.17058}, archivePrefix={arXiv}}"
        ),
        training_data=("LSDIR", "10k of FFHQ"),
        trained_on_metrics=("lpips", "lpips-vgg"),
        needs=(
            "SD-Turbo: hf download stabilityai/sd-turbo",
            "the authors' s3diff.pkl: hf download zhangap/S3Diff s3diff.pkl",
            "assets/mm-realsr/de_net.pth of the authors' repository",
        ),
        routes=True,
    ),
    options=S3DiffOptions,
    build="isrbench.methods.s3diff.method:build",
)
