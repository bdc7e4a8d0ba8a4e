"""Built-in metrics that need no weights: agreement with the LR, displacement, detail made up. Torch-free."""

from __future__ import annotations

from isrbench.harness.api.metric import Direction, Metric, Reference

LR_CONSISTENCY = Metric(
    id="lr_consistency",
    title="LR-PSNR",
    direction=Direction.HIGHER,
    reference=Reference.NONE,
    uses_lr=True,
    colour="RGB",
    definition="PSNR between the LR and the restored image reduced to its size by antialiased bicubic (a = -0.5, "
    "clipped, not rounded), 10 log10(1 / (MSE + 1e-8)), border 0; needs no HR image",
    build="isrbench.harness.metrics.consistency:build_lr_consistency",
    unit="dB",
    decimals=2,
    citation="""@inproceedings{lugmayr2021ntire,
  author = {Lugmayr, Andreas and Danelljan, Martin and Timofte, Radu and others},
  title = {{NTIRE 2021 Learning the Super-Resolution Space Challenge}},
  booktitle = {CVPR Workshops},
  year = {2021}
}""",
)

SHIFT = Metric(
    id="shift",
    title="Shift",
    direction=Direction.LOWER,
    reference=Reference.FULL,
    colour="Y of YCbCr (BT.601, 16-235), rounded",
    definition="length of the displacement against the HR image in HR pixels: peak of the cross-correlation (mean off, "
    "Hann window) to 0.01 by an upsampled Fourier transform, twice, the second time after the move by whole pixels",
    build="isrbench.harness.metrics.displacement:build_shift",
    min_side=16,
    unit="px",
    decimals=2,
    citation="""@article{guizarsicairos2008registration,
  author = {Guizar-Sicairos, Manuel and Thurman, Samuel T. and Fienup, James R.},
  title = {{Efficient subpixel image registration algorithms}},
  journal = {Optics Letters},
  year = {2008}
}""",
)

_AYBAR = """@article{aybar2024comprehensive,
  author = {Aybar, Cesar and Montero, David and Donike, Simon and Kalaitzis, Freddie and G{\\'o}mez-Chova, Luis},
  title = {{A Comprehensive Benchmark for Optical Remote Sensing Image Super-Resolution}},
  journal = {IEEE Geoscience and Remote Sensing Letters},
  year = {2024}
}"""


def _share(name: str, title: str, direction: Direction, meaning: str) -> Metric:
    return Metric(
        id=name,
        title=title,
        direction=direction,
        reference=Reference.FULL,
        uses_lr=True,
        colour="RGB, the restored image with the HR's histogram in each channel",
        definition=f"share of {meaning}, in [0, 1]; hallucination, omission and improvement sum to 1: softmin "
        "(temperature 0.25) of distances from the three by |x - y| / (x + y) to the HR and to the bilinearly enlarged "
        "LR (lambda 0.05), mean over pixels above the 75% quantile, border 16; after opensr-test 1.3.3, without its "
        "alignment",
        build="isrbench.harness.metrics.correctness:build_share",
        settings={"share": name},
        min_side=36,  # at scale 4; the border is a multiple of the scale
        citation=_AYBAR,
    )


HALLUCINATION = _share(
    "hallucination", "Halluc.", Direction.LOWER, "detail that is neither in the HR nor in the LR image"
)
OMISSION = _share(
    "omission", "Omission", Direction.LOWER, "the HR image's detail that the restored image lacks, as the LR does"
)
IMPROVEMENT = _share(
    "improvement", "Improv.", Direction.HIGHER, "the HR image's detail that the restored image has, not the LR"
)
