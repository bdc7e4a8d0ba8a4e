"""The second-order degradation: shapes, ranges, and results that depend on image, preset and seed alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from isrbench.harness.degradation.pipeline import Degradation, degrade, sharpen
from isrbench.harness.degradation.presets import PRESETS, REALESRGAN, at_level
from tests.support.scenes import scenes


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    preset=st.sampled_from([*PRESETS.values(), at_level(0.0), at_level(0.37), at_level(1.0)]),
    height=st.integers(2, 16),
    width=st.integers(2, 16),
    scale=st.sampled_from([2, 4]),
)
def test_shape_range_bits_and_seed(seed, preset, height, width, scale):
    hr = scenes(1, 64)[:, :, : height * scale, : width * scale]
    lr = degrade(hr, preset, [seed], scale)
    assert lr.shape == (1, 3, height, width)
    assert lr.dtype == torch.float32
    assert torch.isfinite(lr).all() and lr.min() >= 0 and lr.max() <= 1
    assert torch.equal((lr * 255).round() / 255, lr)
    assert torch.equal(lr, degrade(hr, preset, [seed], scale))


@pytest.mark.parametrize("name", PRESETS)
def test_batch_order_threads_and_global_seeds_do_not_matter(name):
    hr, seeds = scenes(6, 96), [11, 5, 2**40, 0, 7, 3]
    lr = degrade(hr, PRESETS[name], seeds)
    torch.manual_seed(1)
    np.random.seed(1)
    order = [4, 0, 5, 2, 1, 3]
    shuffled = degrade(hr[order], PRESETS[name], [seeds[i] for i in order])
    assert torch.equal(shuffled, lr[order])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        singles = torch.cat([degrade(hr[i : i + 1], PRESETS[name], [seeds[i]]) for i in range(6)])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(singles, lr)


def test_different_seeds_differ():
    lr = degrade(scenes(1, 96).expand(8, -1, -1, -1), REALESRGAN, range(8))
    assert len({image.numpy().tobytes() for image in lr}) == 8


def test_random_state_is_left_alone():
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tobytes()
    degrade(scenes(2, 64), REALESRGAN, [0, 1])
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tobytes()


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="divisible by 4"):
        degrade(torch.zeros(1, 3, 30, 32), REALESRGAN, [0])
    with pytest.raises(ValueError, match="2 images need as many seeds, not 1"):
        degrade(torch.zeros(2, 3, 32, 32), REALESRGAN, [0])


def test_clean_images_are_only_downsampled():
    hr = scenes(2, 64)
    lr = degrade(hr, dataclasses.replace(REALESRGAN, clean_prob=1.0), [0, 1])
    small = F.interpolate(hr, (16, 16), mode="bicubic", antialias=True).clamp(0, 1)
    assert (lr - small).abs().max() <= 0.5 / 255 + 1e-6


def test_sharpening_overshoots_edges_and_leaves_flat_parts():
    image = torch.full((3, 96, 96), 0.3)
    image[:, :, 48:] = 0.6
    sharp = sharpen(image)
    assert sharp[:, 48, 47].max() < 0.29 and sharp[:, 48, 48].min() > 0.61
    flat = torch.full((3, 96, 96), 0.4)
    assert torch.allclose(sharpen(flat), flat, atol=1e-5)


NO_STAGE = dataclasses.replace(
    REALESRGAN.first, blur_prob=0.0, resize_prob=(0.0, 0.0, 1.0), noise_range=(0.0, 0.0), poisson_range=(0.0, 0.0),
    jpeg_range=(100.0, 100.0),
)  # fmt: skip


def noise_of(**stage: object) -> torch.Tensor:
    """What the second stage's noise adds to a flat grey image, in grey levels; JPEG at quality 100 adds little."""
    second = dataclasses.replace(NO_STAGE, **stage)
    degradation = Degradation(first=NO_STAGE, second=second, final_sinc_prob=0.0)
    gray = torch.full((1, 3, 512, 512), 128 / 255)
    return (degrade(gray, degradation, [0])[0] - 128 / 255) * 255


def test_gaussian_noise_is_in_grey_levels():
    noise = noise_of(gaussian_prob=1.0, gray_prob=1.0, noise_range=(12.0, 12.0))
    assert float(noise.std()) == pytest.approx(12, rel=0.03)
    assert float((noise - noise.mean(0)).abs().max()) <= 2, "the same in all channels"


def test_poisson_noise_has_the_variance_of_photons():
    noise = noise_of(gaussian_prob=0.0, gray_prob=1.0, poisson_range=(0.1, 0.1))
    # One level: the count's variance is its mean, the grey value of 128 / 255.
    assert float(noise.std()) == pytest.approx(0.1 * 255 * (128 / 255) ** 0.5, rel=0.03)
    assert float((noise - noise.mean(0)).abs().max()) <= 2, "the same in all channels"
