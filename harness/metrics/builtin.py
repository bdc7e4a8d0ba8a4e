"""The metrics of OSEDiff's tables and those without a network; more networks: :mod:`isrbench.harness.metrics.learned`.

What each computes, which way is better, and what its value depends on. Torch-free.
"""

from __future__ import annotations

from pathlib import Path

from isrbench.harness.api.metric import Direction, Metric, Reference, WeightFile
from isrbench.harness.network import HUB

_PYIQA = "isrbench.harness.metrics.pyiqa_bridge"
_YCBCR = "Y of YCbCr (BT.601, 16-235)"
_YIQ = "Y of YIQ (0-255)"


def bibtex(kind: str, key: str, author: str, title: str, venue: str, year: int) -> str:
    """Return a BibTeX entry; ``venue`` is the journal of an ``article``, the proceedings of anything else."""
    place = "journal" if kind == "article" else "booktitle"
    fields = {"author": author, "title": f"{{{title}}}", place: venue, "year": str(year)}
    return f"@{kind}{{{key},\n" + ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items()) + "\n}"


def pyiqa_file(name: str, sha256: str | None = None, packaged: str = "") -> WeightFile:
    """Return a file of pyiqa's own collection.

    Args:
        name: The file's name; eight hex digits before the ending are the head of its sha256.
        sha256: The whole one, where somebody has published it.
        packaged: See :attr:`isrbench.harness.api.metric.WeightFile.packaged`.
    """
    head = Path(name).stem.rpartition("-")[2]
    hexadecimal = len(head) == 8 and set(head) <= set("0123456789abcdef")
    url = f"{HUB}/chaofengc/IQA-PyTorch-Weights/resolve/main/{name}"
    return WeightFile(f"pyiqa/{name}", url, sha256 or (head if hexadecimal else None), packaged=packaged)


def torchvision_file(name: str, sha256: str) -> WeightFile:
    """Return a file of torchvision's model zoo."""
    return WeightFile(f"checkpoints/{name}", f"https://download.pytorch.org/models/{name}", sha256)


PSNR = Metric(
    id="psnr",
    title="PSNR",
    direction=Direction.HIGHER,
    reference=Reference.FULL,
    colour=_YCBCR,
    definition="10 log10(1 / (MSE + 1e-8)) on unrounded Y / 255, border 0; identical images give 80 dB; "
    "equals pyiqa psnr with test_y_channel=True, color_space='ycbcr'",
    build="isrbench.harness.metrics.fidelity:build_psnr",
    unit="dB",
    decimals=2,
    citation=bibtex("article", "huynhthu2008psnr", "Huynh-Thu, Q. and Ghanbari, M.",
                    "Scope of validity of PSNR in image/video quality assessment", "Electronics Letters", 2008),
)  # fmt: skip

SSIM = Metric(
    id="ssim",
    title="SSIM",
    direction=Direction.HIGHER,
    reference=Reference.FULL,
    colour=_YCBCR,
    definition="11x11 Gaussian window, sigma 1.5, valid area, Y rounded to integers, no downsampling, border 0, "
    "contrast-structure clipped at 0; equals pyiqa ssim with color_space='ycbcr'",
    build="isrbench.harness.metrics.fidelity:build_ssim",
    min_side=11,
    citation=bibtex("article", "wang2004ssim",
                    "Wang, Zhou and Bovik, Alan C. and Sheikh, Hamid R. and Simoncelli, Eero P.",
                    "Image quality assessment: from error visibility to structural similarity",
                    "IEEE Transactions on Image Processing", 2004),
)  # fmt: skip

LPIPS = Metric(
    id="lpips",
    title="LPIPS",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour="RGB",
    definition="AlexNet, version 0.1 with its linear layers, full image (pyiqa lpips)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "lpips"},
    weights=(
        pyiqa_file(
            "LPIPS_v0.1_alex-df73285e.pth",
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
            packaged="lpips/weights/v0.1/alex.pth",
        ),
        torchvision_file(
            "alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
        ),
    ),
    min_side=31,
    citation=bibtex("inproceedings", "zhang2018lpips",
                    "Zhang, Richard and Isola, Phillip and Efros, Alexei A. and Shechtman, Eli and Wang, Oliver",
                    "The unreasonable effectiveness of deep features as a perceptual metric", "CVPR", 2018),
)  # fmt: skip

VGG16 = torchvision_file("vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0")
"""torchvision's VGG-16, trained on ImageNet."""

DISTS = Metric(
    id="dists",
    title="DISTS",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour="RGB",
    definition="VGG-16 features, full image without resizing (pyiqa dists)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "dists"},
    weights=(
        pyiqa_file(
            "DISTS_weights-f5e65c96.pth",
            "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
            packaged="DISTS_pytorch/weights.pt",
        ),
        VGG16,
    ),
    citation=bibtex("article", "ding2020dists", "Ding, Keyan and Ma, Kede and Wang, Shiqi and Simoncelli, Eero P.",
                    "Image quality assessment: unifying structure and texture similarity",
                    "IEEE Transactions on Pattern Analysis and Machine Intelligence", 2020),
)  # fmt: skip

NIQE = Metric(
    id="niqe",
    title="NIQE",
    direction=Direction.LOWER,
    reference=Reference.NONE,
    colour=_YIQ,
    definition="Y rounded, 96x96 blocks, remainder cropped, two scales, border 0, the authors' parameters, which ship "
    "(pyiqa niqe)",
    build=f"{_PYIQA}:niqe",
    settings={"sha256": "6d8ef29974d6aa00c5fe6387cfa91c16b2d1440e1aeef0f221d335bb43a9b4b4"},
    min_side=192,
    citation=bibtex("article", "mittal2013niqe", "Mittal, Anish and Soundararajan, Rajiv and Bovik, Alan C.",
                    "Making a completely blind image quality analyzer", "IEEE Signal Processing Letters", 2013),
)  # fmt: skip

MUSIQ = Metric(
    id="musiq",
    title="MUSIQ",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="KonIQ-10k weights, scales 224 and 384 and the original, patch 32 (pyiqa musiq)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "musiq"},
    weights=(
        pyiqa_file(
            "musiq_koniq_ckpt-e95806b9.pth", "e95806b9eae5f3814c410f574ba8e552362bd5bc63d758ed5b97860f5d6185aa"
        ),
    ),
    decimals=2,
    citation=bibtex("inproceedings", "ke2021musiq",
                    "Ke, Junjie and Wang, Qifei and Wang, Yilin and Milanfar, Peyman and Yang, Feng",
                    "MUSIQ: multi-scale image quality transformer", "ICCV", 2021),
)  # fmt: skip

MANIQA_PIPAL = Metric(
    id="maniqa-pipal",
    title="MANIQA-PIPAL",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="PIPAL weights (not KonIQ), 20 uniform crops of 224 (pyiqa maniqa-pipal, 0.1.12 or later)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "maniqa-pipal", "one_at_a_time": True},
    # No whole hash was found in public.
    weights=(pyiqa_file("MANIQA_PIPAL-ae6d356b.pth"),),
    citation=bibtex("inproceedings", "yang2022maniqa",
                    "Yang, Sidi and Wu, Tianhe and Shi, Shuwei and Lao, Shanshan and "
                    "Gong, Yuan and Cao, Mingdeng and Wang, Jiahao and Yang, Yujiu",
                    "MANIQA: multi-dimension attention network for no-reference image quality assessment",
                    "CVPR Workshops", 2022),
)  # fmt: skip

_OPENAI = "https://openaipublic.azureedge.net/clip/models"
_RN50 = "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"
CLIP_RN50 = WeightFile("clip/RN50.pt", f"{_OPENAI}/{_RN50}/RN50.pt", _RN50)
"""OpenAI's CLIP with a ResNet-50."""

CLIPIQA = Metric(
    id="clipiqa",
    title="CLIPIQA",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="CLIP RN50, mean over five prompt pairs, no positional embedding, full image "
    "(pyiqa clipiqa, not clipiqa+)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "clipiqa"},
    weights=(CLIP_RN50,),
    min_side=31,
    citation=bibtex("inproceedings", "wang2023clipiqa", "Wang, Jianyi and Chan, Kelvin C.K. and Loy, Chen Change",
                    "Exploring CLIP for assessing the look and feel of images", "AAAI", 2023),
)  # fmt: skip

FID = Metric(
    id="fid",
    title="FID",
    direction=Direction.LOWER,
    reference=Reference.SET,
    colour="RGB",
    definition="clean-fid: PIL bicubic to 299x299 in float, Inception 2015-12-05, 2048 features of whole images "
    "(pyiqa fid), exact trace of the matrix root; comparable only between runs over the same images",
    build=f"{_PYIQA}:fid",
    weights=(
        pyiqa_file(
            "pt_inception-2015-12-05-6726825d.pth", "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
        ),
    ),
    decimals=2,
    citation=bibtex("inproceedings", "parmar2022cleanfid", "Parmar, Gaurav and Zhang, Richard and Zhu, Jun-Yan",
                    "On aliased resizing and surprising subtleties in GAN evaluation", "CVPR", 2022),
)  # fmt: skip

GMSD = Metric(
    id="gmsd",
    title="GMSD",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour=_YIQ,
    definition="Y rounded, halved by 2x2 means, Prewitt gradients, T = 170, border 0; equals pyiqa gmsd",
    build="isrbench.harness.metrics.gradient:build_gmsd",
    min_side=4,
    citation=bibtex("article", "xue2013gmsd", "Xue, Wufeng and Zhang, Lei and Mou, Xuanqin and Bovik, Alan C.",
                    "Gradient magnitude similarity deviation: a highly efficient perceptual image quality index",
                    "IEEE Transactions on Image Processing", 2013),
)  # fmt: skip

PIQE = Metric(
    id="piqe",
    title="PIQE",
    direction=Direction.LOWER,
    reference=Reference.NONE,
    colour="Y of YIQ, stretched so that its maximum is 255",
    definition="16x16 blocks, activity threshold 0.1 (pyiqa piqe)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "piqe", "one_at_a_time": True},
    min_side=8,
    decimals=2,
    citation=bibtex("inproceedings", "venkatanath2015piqe",
                    "Venkatanath, N. and Praneeth, D. and Bh, Maruthi Chandrasekhar and "
                    "Channappayya, Sumohana S. and Medasani, Swarup S.",
                    "Blind image quality evaluation using perception based features",
                    "National Conference on Communications", 2015),
)  # fmt: skip

MS_SSIM = Metric(
    id="ms_ssim",
    title="MS-SSIM",
    direction=Direction.HIGHER,
    reference=Reference.FULL,
    colour=_YIQ,
    definition="five scales of SSIM, product form, Y rounded, border 0; equals pyiqa ms_ssim",
    build="isrbench.harness.metrics.fidelity:build_ms_ssim",
    min_side=161,
    citation=bibtex("inproceedings", "wang2003msssim", "Wang, Zhou and Simoncelli, Eero P. and Bovik, Alan C.",
                    "Multiscale structural similarity for image quality assessment",
                    "Asilomar Conference on Signals", 2003),
)  # fmt: skip

VSI = Metric(
    id="vsi",
    title="VSI",
    direction=Direction.HIGHER,
    reference=Reference.FULL,
    colour="LMN of RGB",
    definition="SDSP saliency at 256x256, averaged to a short side near 256; equals pyiqa vsi",
    build="isrbench.harness.metrics.saliency:build_vsi",
    citation=bibtex("article", "zhang2014vsi", "Zhang, Lin and Shen, Ying and Li, Hongyu",
                    "VSI: a visual saliency-induced index for perceptual image quality assessment",
                    "IEEE Transactions on Image Processing", 2014),
)  # fmt: skip
