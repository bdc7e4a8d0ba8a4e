"""Further learned metrics, each as pyiqa computes it: what it is, and the weights it needs. Torch-free.

``afine_all`` is heavy: more than 300 MB of weights, and the whole image through a ViT twice.
"""

from __future__ import annotations

from isrbench.harness.api.metric import Direction, Metric, Reference, WeightFile
from isrbench.harness.metrics.builtin import CLIP_RN50, VGG16, bibtex, pyiqa_file

_PYIQA = "isrbench.harness.metrics.pyiqa_bridge"

MANIQA = Metric(
    id="maniqa",
    title="MANIQA-KonIQ",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="KonIQ-10k weights (not PIPAL), scale 0.8, 20 uniform crops of 224 (pyiqa maniqa, 0.1.12 or later)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "maniqa", "one_at_a_time": True},
    weights=(
        # The authors' own release: pyiqa's collection has a file of this name, whose hash is not published.
        WeightFile(
            "pyiqa/ckpt_koniq10k.pt",
            "https://github.com/IIGROUP/MANIQA/releases/download/Koniq10k/ckpt_koniq10k.pt",
            "a207f8ab57322e6be38ff5c8d019301dc032b454bef21c3c9f9dbf7974eebff6",
        ),
    ),
    citation=bibtex("inproceedings", "yang2022maniqa",
                    "Yang, Sidi and Wu, Tianhe and Shi, Shuwei and Lao, Shanshan and "
                    "Gong, Yuan and Cao, Mingdeng and Wang, Jiahao and Yang, Yujiu",
                    "MANIQA: multi-dimension attention network for no-reference image quality assessment",
                    "CVPR Workshops", 2022),
)  # fmt: skip

_TOPIQ = bibtex(
    "article", "chen2024topiq",
    "Chen, Chaofeng and Mo, Jiadi and Hou, Jingwen and Wu, Haoning and "
    "Liao, Liang and Sun, Wenxiu and Yan, Qiong and Lin, Weisi",
    "TOPIQ: a top-down approach from semantics to distortions for image quality assessment",
    "IEEE Transactions on Image Processing", 2024,
)  # fmt: skip

TOPIQ_NR = Metric(
    id="topiq_nr",
    title="TOPIQ-NR",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="ResNet-50, KonIQ-10k weights, full image without resizing (pyiqa topiq_nr)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "topiq_nr", "backbone_pretrain": False},
    weights=(
        pyiqa_file(
            "cfanet_nr_koniq_res50-9a73138b.pth", "9a73138beb3748dd6a83365610ac88fa1cd53225342c77fc9ed44a3be461354c"
        ),
    ),
    citation=_TOPIQ,
)

TOPIQ_FR = Metric(
    id="topiq_fr",
    title="TOPIQ-FR",
    direction=Direction.HIGHER,
    reference=Reference.FULL,
    colour="RGB",
    definition="ResNet-50, KADID-10k weights, full image without resizing (pyiqa topiq_fr)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "topiq_fr", "backbone_pretrain": False},
    # No whole hash was found in public.
    weights=(pyiqa_file("cfanet_fr_kadid_res50-2c4cc61d.pth"),),
    citation=_TOPIQ,
)

TRES = Metric(
    id="tres",
    title="TReS",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="ResNet-50, KonIQ-10k weights, 50 uniform crops of 224 (pyiqa tres)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "tres", "one_at_a_time": True},
    # No whole hash was found in public.
    weights=(pyiqa_file("tres_koniq-f0502926.pth"),),
    decimals=2,
    citation=bibtex("inproceedings", "golestaneh2022tres",
                    "Golestaneh, S. Alireza and Dadsetan, Saba and Kitani, Kris M.",
                    "No-reference image quality assessment via transformers, relative ranking, and self-consistency",
                    "WACV", 2022),
)  # fmt: skip

CLIPIQA_PLUS = Metric(
    id="clipiqa+",
    title="CLIPIQA+",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="CLIP RN50, one pair of prompts learned on KonIQ-10k, no positional embedding, full image "
    "(pyiqa clipiqa+)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "clipiqa+"},
    # pyiqa keeps the name as it stands in the address. No whole hash was found in public.
    weights=(pyiqa_file("CLIP-IQA%2B_learned_prompts-603f3273.pth"), CLIP_RN50),
    min_side=31,
    citation=bibtex("inproceedings", "wang2023clipiqa", "Wang, Jianyi and Chan, Kelvin C.K. and Loy, Chen Change",
                    "Exploring CLIP for assessing the look and feel of images", "AAAI", 2023),
)  # fmt: skip

LIQE = Metric(
    id="liqe",
    title="LIQE",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    colour="RGB",
    definition="CLIP ViT-B/32, KonIQ-10k weights, quality prompts alone, 15 crops of 224, sides of 224 or more, "
    "1 to 5 (pyiqa liqe)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "liqe"},
    # No hash was found in public.
    weights=(pyiqa_file("liqe_koniq.pt"),),
    min_side=224,
    citation=bibtex("inproceedings", "zhang2023liqe",
                    "Zhang, Weixia and Zhai, Guangtao and Wei, Ying and Yang, Xiaokang and Ma, Kede",
                    "Blind image quality assessment via vision-language correspondence: "
                    "a multitask learning perspective", "CVPR", 2023),
)  # fmt: skip

LPIPS_VGG = Metric(
    id="lpips-vgg",
    title="LPIPS-VGG",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour="RGB",
    definition="VGG-16, version 0.1 with its linear layers, full image (pyiqa lpips-vgg)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "lpips-vgg"},
    weights=(
        pyiqa_file(
            "LPIPS_v0.1_vgg-a78928a0.pth",
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
            packaged="lpips/weights/v0.1/vgg.pth",
        ),
        VGG16,
    ),
    min_side=16,
    citation=bibtex("inproceedings", "zhang2018lpips",
                    "Zhang, Richard and Isola, Phillip and Efros, Alexei A. and Shechtman, Eli and Wang, Oliver",
                    "The unreasonable effectiveness of deep features as a perceptual metric", "CVPR", 2018),
)  # fmt: skip

AFINE = Metric(
    id="afine_all",
    title="A-FINE",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour="RGB",
    definition="fine-tuned CLIP ViT-B/32, naturalness and fidelity combined, not scaled to 0-100, sides divisible "
    "by 32 (pyiqa afine_all)",
    build=f"{_PYIQA}:image_metric",
    settings={"name": "afine_all"},
    # No hash was found in public.
    weights=(pyiqa_file("afine.pth"),),
    min_side=32,
    citation=bibtex("inproceedings", "chen2025afine",
                    "Chen, Du and Wu, Tianhe and Ma, Kede and Zhang, Lei",
                    "Toward generalized image quality assessment: relaxing the perfect reference quality assumption",
                    "CVPR", 2025),
)  # fmt: skip
