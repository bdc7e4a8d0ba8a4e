"""Calibration on real data: the OSEDiff authors' result images and their published per-image numbers on RealSR."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import fidelity
from harness.images import read_rgb
from harness.scoring import Scorer

REALSR = Path(__file__).parents[1] / "../shared/data/RealSR"
pytestmark = pytest.mark.skipif(not REALSR.is_dir(), reason="needs the RealSR test set in ../shared/data/RealSR")


def published():
    with (REALSR / "osediff_published.csv").open() as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def check(images):
    pairs = [(REALSR / "results_osediff" / f"{i}.png", REALSR / "test_HR" / f"{i}.png") for i in images]
    rows = published()
    scores = Scorer(["psnr", "ssim"]).score_pairs(pairs, workers=2)
    for image, (psnr, ssim) in zip(images, scores, strict=True):
        assert psnr.value == pytest.approx(float(rows[image]["psnr"]), abs=1e-4), image
        assert ssim.value == pytest.approx(float(rows[image]["ssim"]), abs=1e-5), image


def test_psnr_and_ssim_of_ten_images_are_the_published_ones():
    check(sorted(published())[::10])


@pytest.mark.slow
def test_psnr_and_ssim_of_all_images_are_the_published_ones():
    assert len(published()) == 100
    check(sorted(published()))


@pytest.mark.slow
def test_bicubic_over_the_whole_set():
    values = []
    for lr in sorted((REALSR / "test_LR").glob("*.png")):
        image = Image.fromarray(read_rgb(lr))
        restored = np.asarray(image.resize((4 * image.width, 4 * image.height), Image.Resampling.BICUBIC))
        reference = read_rgb(REALSR / "test_HR" / lr.name)
        values.append((fidelity.psnr(restored, reference), fidelity.ssim(restored, reference)))
    psnr, ssim = np.mean(values, axis=0)
    assert len(values) == 100
    assert psnr == pytest.approx(27.1128, abs=5e-4)
    assert ssim == pytest.approx(0.7555, abs=5e-4)
