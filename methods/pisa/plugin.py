"""PiSA-SR as a plugin. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.pisa.options import PisaOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="pisa",
        title="PiSA-SR",
        summary="One-step diffusion with a LoRA for pixels and one for semantics, adjustable apart.",
        license="Apache-2.0 by the authors' README; their repository has no LICENSE file",
        citation=(
            "@inproceedings{sun2025pisasr, title={Pixel-level and Semantic-level Adjustable Super-resolution: A "
            "Dual-LoRA Approach}, author={Sun, Lingchen and Wu, Rongyuan and Ma, Zhiyuan and Liu, Shuaizheng and Yi, "
            "Qiaosi and Zhang, Lei}, booktitle={CVPR}, year={2025}}"
        ),
        training_data=("LSDIR", "10k of FFHQ"),
        trained_on_metrics=("lpips", "lpips-vgg"),
        needs=("Stable Diffusion 2.1-base: isrbench fetch training --preset sd21", "the authors' pisa_sr.pkl"),
    ),
    options=PisaOptions,
    build="isrbench.methods.pisa.method:build",
)
