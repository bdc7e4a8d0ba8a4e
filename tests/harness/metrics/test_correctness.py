"""Hallucination, omission and improvement: by hand, by opensr-test's own numbers, and what must hold of any image."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.metrics import correctness
from isrbench.harness.metrics.correctness import build_share, shares, shares_of_distances
from tests.support.images import make_image, make_scene, noise_image

NAMES = ("hallucination", "omission", "improvement")
THEIRS = {
    2: (0.5128035545349121, 0.3362071216106415, 0.15098929405212402),
    4: (0.5108605027198792, 0.33409538865089417, 0.15504410862922668),
}
"""What opensr-test 1.3.3 gives, by scale, for the noise of :func:`test_numbers_of_opensr_test`:
``Metrics(harm_apply_spatial=False).correctness(lr, sr, hr, gradient_threshold="auto")``."""


def one(lr_to_hr: float, to_hr: float, to_lr: float) -> correctness.Shares:
    return shares_of_distances(*(np.array([[0.0, value]]) for value in (lr_to_hr, to_hr, to_lr)))


def test_a_pixel_that_equals_the_hr_or_the_lr_by_hand():
    """Distances 0, 1 and 1 by temperature 1/4: the softmin is 1, exp(-4) and exp(-4) over their sum."""
    most, least = 1 / (1 + 2 * math.exp(-4)), math.exp(-4) / (1 + 2 * math.exp(-4))
    assert one(0.2, 0, 0.2) == pytest.approx((least, least, most))
    assert one(0.2, 0.2, 0) == pytest.approx((least, most, least))


def test_any_pixel_by_hand():
    """d = 0.5, e = 1.5, h = 1; 1 - exp(-0.05) = 0.0487706."""
    apart = (0.9631944, 1.5 + 0.5 * 0.0487706, 0.5 + 1.5 * 0.0487706)
    near = [math.exp(-4 * distance) for distance in apart]
    assert one(0.2, 0.1, 0.3) == pytest.approx([value / sum(near) for value in near], abs=1e-6)
    assert one(0.2, 0.1, 0.3) == pytest.approx((0.17049, 0.01807, 0.81144), abs=1e-5)


def test_far_from_both_is_made_up_even_where_lr_and_hr_agree():
    assert one(0.01, 1, 1) == pytest.approx((1, 0, 0))
    assert shares_of_distances(np.zeros((1, 4)), np.ones((1, 4)), np.ones((1, 4))) == pytest.approx((1, 0, 0))


def test_only_pixels_above_three_quarters_of_the_lrs_distances_count():
    lr_to_hr = np.array([[0.1, 0.2, 0.3, 0.4]])
    # The third smallest is 0.3: the last pixel (restored = HR) counts, and of the others none is above it.
    assert shares_of_distances(lr_to_hr, 0 * lr_to_hr, lr_to_hr) == one(0.4, 0, 0.4)
    # Now the first does as well, for what the restored image did there.
    both = shares_of_distances(lr_to_hr, np.array([[0.5, 0, 0, 0]]), np.array([[0.4, 0.2, 0.3, 0.4]]))
    assert both == pytest.approx(np.mean([one(0.4, 0, 0.4), one(0.1, 0.5, 0.4)], axis=0))


def test_no_pixel_that_counts():
    assert all(map(math.isnan, shares_of_distances(*np.zeros((3, 5, 5)))))
    grey = np.full((64, 64, 3), 90, np.uint8)
    assert all(map(math.isnan, shares(grey, grey, grey[::4, ::4])))


@pytest.mark.parametrize("scale", [2, 4])
def test_numbers_of_opensr_test(scale):
    rng = np.random.default_rng(7)
    hr, lr, restored = (
        rng.integers(0, 256, size, dtype=np.uint8)
        for size in ((96, 104, 3), (96 // scale, 104 // scale, 3), (96, 104, 3))
    )
    assert shares(restored, hr, lr) == pytest.approx(THEIRS[scale], abs=1e-6)


@given(arrays(np.float64, (3, 4, 5), elements=st.floats(0, 1, width=32)))
def test_shares_are_shares(distances):
    lr_to_hr, to_hr, to_lr = distances
    # Where LR and HR agree, the restored image is as far from one as from the other.
    found = shares_of_distances(lr_to_hr, to_hr, np.where(lr_to_hr == 0, to_hr, to_lr))
    if distances.any():
        assert np.isnan(found.improvement) or (sum(found) == pytest.approx(1) and min(found) >= 0)
    else:
        assert np.isnan(found).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shares_of_images(scale):
    hr = make_image(0, 24 * scale, 30 * scale)
    size = (hr.shape[1] // scale, hr.shape[0] // scale)
    lr = np.asarray(Image.fromarray(hr).resize(size, Image.Resampling.BICUBIC))
    large = np.asarray(Image.fromarray(lr).resize(hr.shape[1::-1], Image.Resampling.BILINEAR))
    noise = noise_image(*hr.shape[:2])
    for restored, expected in ((hr, "improvement"), (large, "omission"), (noise, "hallucination")):
        found = shares(restored, hr, lr)
        assert sum(found) == pytest.approx(1, abs=1e-12)
        assert getattr(found, expected) == max(found)
    assert shares(hr, hr, lr).improvement == pytest.approx(1 / (1 + 2 * math.exp(-4)), abs=1e-6)


def test_a_cast_of_colour_is_no_detail():
    scene, noisy = make_scene()
    dark = (noisy // 2).astype(np.uint8)
    lr = scene[::4, ::4]
    assert shares(dark + np.array([90, 20, 0], np.uint8), scene, lr) == shares(dark, scene, lr)


def test_the_three_metrics_share_one_computation(monkeypatch):
    scene, noisy = make_scene()
    lr = scene[::4, ::4]
    expected, computed = shares(noisy, scene, lr), []
    monkeypatch.setattr(correctness, "shares", lambda *images: computed.append(1) or shares(*images))
    metrics = [build_share("cpu", share=name) for name in NAMES]
    assert [metric(noisy, scene, lr) for metric in metrics] == list(expected) and len(computed) == 1
    # The pixels count, not the arrays that hold them.
    changed = noisy.copy()
    assert metrics[0](changed, scene, lr) == expected.hallucination and len(computed) == 1
    changed[40:60, 40:60] = 255
    assert metrics[0](changed, scene, lr) != expected.hallucination and len(computed) == 2


def test_images_that_do_not_fit():
    scene, noisy = make_scene()
    with pytest.raises(ValueError, match=r"\(192, 176, 3\).*\(48, 43, 3\)"):
        shares(noisy, scene, scene[::4, 4::4])
    with pytest.raises(ValueError, match=r"\(191, 176, 3\)"):
        shares(noisy[1:], scene, scene[::4, ::4])
    with pytest.raises(UserError, match="16 pixels at every side, and the image has 176x32"):
        shares(noisy[:32], scene[:32], scene[:32:4, ::4])
    with pytest.raises(ValueError, match="the LR is absent"):
        build_share("cpu", share="omission")(noisy, scene, None)
