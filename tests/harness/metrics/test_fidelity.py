"""PSNR, SSIM and MS-SSIM against exact arithmetic, pyiqa and scikit-image."""

import math
from fractions import Fraction

import numpy as np
import pyiqa
import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.metrics import fidelity
from tests.support.images import make_scene


def awkward_pairs():
    scene, noisy = make_scene()
    flat = np.full((64, 64, 3), 255, np.uint8)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (40, 256, 3)).copy()
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (2, 50, 61, 3), dtype=np.uint8)
    return {
        "noisy": (noisy, scene),
        "identical": (scene, scene),
        "inverted": (255 - scene, scene),
        "flat": (flat, flat - 1),
        "black on white": (flat * 0, flat),
        "ramp": (ramp, np.flip(ramp, 1).copy()),
        "noise": (noise[0], noise[1]),
        "smallest": (noise[0, :11, :11], noise[1, :11, :11]),
    }


def theirs(metric, *images, dtype=torch.float32):
    return float(metric(*(to_tensor(image)[None].to(dtype) for image in images)))


@pytest.mark.parametrize("case", awkward_pairs())
def test_psnr_is_exact_and_pyiqas(case):
    """In float32 pyiqa itself is off by 2e-4 dB on the flat pair, so it is asked for float64 here."""
    restored, reference = awkward_pairs()[case]
    metric = pyiqa.create_metric("psnr", test_y_channel=True, color_space="ycbcr", device="cpu")
    in_float64 = theirs(metric, restored, reference, dtype=torch.float64)
    assert fidelity.psnr(restored, reference) == pytest.approx(in_float64, abs=1e-5)
    weights = (65481, 128553, 24966)
    squares = [
        sum(w * (int(a) - int(b)) for w, a, b in zip(weights, x, y, strict=True)) ** 2
        for x, y in zip(restored.reshape(-1, 3), reference.reshape(-1, 3), strict=True)
    ]
    exact = Fraction(sum(squares), len(squares) * (255 * 255000) ** 2) + Fraction(1, 10**8)
    assert fidelity.psnr(restored, reference) == pytest.approx(-10 * math.log10(exact), abs=1e-10)


@pytest.mark.parametrize("case", [*awkward_pairs(), "several strips"])
def test_ssim_of_the_same_luma_is_pyiqas(case):
    """To 1e-12 with the exact Gaussian; pyiqa's own window is rounded to float32, which moves it by up to 7e-7."""
    from pyiqa.archs.ssim_arch import ssim

    pairs = awkward_pairs() | {"several strips": np.random.default_rng(2).integers(0, 256, (2, 45, 2500, 3), np.uint8)}
    planes = [fidelity.rounded_luma(image) for image in pairs[case]]
    tensors = [torch.from_numpy(plane)[None, None] for plane in planes]
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = torch.from_numpy(np.outer(taps, taps) / taps.sum() ** 2)[None, None]
    ours = fidelity.ssim_of_luma(*planes)
    assert ours == pytest.approx(float(ssim(*tensors, win=window, data_range=255)), abs=1e-12)
    assert ours == pytest.approx(float(ssim(*tensors, data_range=255)), abs=1e-6)


@pytest.mark.parametrize("case", awkward_pairs())
def test_ssim_end_to_end_is_pyiqas(case):
    """Y within float32's error of k + 1/2 may round the other way in pyiqa, hence the wider bound."""
    pair = awkward_pairs()[case]
    metric = pyiqa.create_metric("ssim", color_space="ycbcr", device="cpu")
    assert fidelity.ssim(*pair) == pytest.approx(theirs(metric, *pair), abs=1e-5)


def test_the_luma_of_yiq_is_pyiqas_also_where_it_is_a_half():
    """Grey levels are exact integers; of the colours that lie on a half every one is looked at."""
    from pyiqa.utils.color_util import to_y_channel

    levels = np.arange(256)
    total = levels[:, None, None] * 299 + levels[None, :, None] * 587 + levels[None, None, :] * 114
    halves = np.argwhere(total % 1000 == 500)
    assert len(halves) > 10_000
    image = np.concatenate([halves, np.random.default_rng(0).integers(0, 256, (4000, 3))]).astype(np.uint8)[None]
    theirs = to_y_channel(to_tensor(image)[None], 255)[0, 0].numpy()
    np.testing.assert_array_equal(fidelity.rounded_yiq(image), theirs)


@pytest.mark.parametrize("size", [(161, 161), (176, 512), (163, 175), (331, 333)])
def test_ms_ssim_is_pyiqas(size):
    """Odd sides at every scale are among the sizes; pyiqa rounds its window to float32."""
    rng = np.random.default_rng(size[1])
    coarse = rng.integers(0, 256, (*(side // 8 + 1 for side in size), 3))
    reference = np.kron(coarse, np.ones((8, 8, 1)))[: size[0], : size[1]].astype(np.uint8)
    restored = np.clip(reference + rng.normal(0, 20, reference.shape), 0, 255).astype(np.uint8)
    metric = pyiqa.create_metric("ms_ssim", device="cpu")
    for x, y in ((restored, reference), (reference, reference), (255 - reference, reference)):
        assert fidelity.ms_ssim(x, y) == pytest.approx(theirs(metric, x, y), abs=1e-6)


def test_ssim_is_scikit_images_where_nothing_is_clipped():
    from skimage.metrics import structural_similarity

    scene, noisy = make_scene(height=64, width=56)
    x, y = (fidelity.rounded_luma(image) for image in (noisy, scene))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert fidelity.ssim_of_luma(x, y) == pytest.approx(structural_similarity(x, y, **options), abs=1e-9)


def test_the_two_luma_conventions_differ_by_the_gap_that_papers_show():
    scene, noisy = make_scene()
    yiq = theirs(pyiqa.create_metric("psnr", test_y_channel=True, color_space="yiq", device="cpu"), noisy, scene)
    assert fidelity.psnr(noisy, scene) - yiq == pytest.approx(20 * math.log10(255 / 219), abs=1e-3)


def test_identical_images():
    scene, _ = make_scene()
    assert fidelity.psnr(scene, scene) == pytest.approx(80)
    assert fidelity.ssim(scene, scene) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", [fidelity.psnr, fidelity.ssim])
def test_shapes_must_agree(metric):
    scene, noisy = make_scene()
    with pytest.raises(ValueError, match=r"\(192, 176, 3\).*\(191, 176, 3\)"):
        metric(scene, noisy[1:])
    with pytest.raises(ValueError, match="None"):
        metric(scene, None)


def test_ssim_refuses_images_smaller_than_its_window():
    tiny = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(UserError, match="11 pixels, not 40x10"):
        fidelity.ssim(tiny, tiny)
