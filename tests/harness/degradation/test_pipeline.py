"""The second-order degradation: determinism, ranges, the severity scale and the kernels."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from isrbench.harness.degradation import kernels
from isrbench.harness.degradation import pipeline as synthesis
from isrbench.harness.degradation.pipeline import LEVELS, PRESETS, REALESRGAN, STABLESR, at_level, degrade


def scenes(count: int, size: int, seed: int = 0) -> torch.Tensor:
    """Images with edges, gradients and texture: random rectangles of random brightness and grain."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 3, size, size), np.float32)
    for image in images:
        image[:] = np.linspace(0.2, 0.8, size, dtype=np.float32)
        for _ in range(12):
            y, x, h, w = rng.integers(0, size, 4)
            image[:, y : y + h // 2 + 4, x : x + w // 2 + 4] = rng.uniform(0, 1, (3, 1, 1))
        image += rng.normal(0, 0.03, image.shape)
    return torch.from_numpy(images.clip(0, 1))


def test_a_camera_blurs_and_hardly_adds_noise():
    """Noise on a flat picture stays below two grey levels; an edge comes out softer than by downsampling alone."""
    flat = torch.full((8, 3, 64, 64), 0.5)
    camera = dataclasses.replace(PRESETS["camera"], clean_prob=0.0)
    assert (degrade(flat, camera, range(8)) - 0.5).std() < 2 / 255
    edge = torch.zeros(8, 3, 64, 64)
    edge[..., 30:] = 1

    def steepest(lr):
        return (lr[..., 1:] - lr[..., :-1]).abs().mean((1, 2)).amax(-1).mean()

    assert steepest(degrade(edge, camera, range(8))) < steepest(F.interpolate(edge, scale_factor=0.25, mode="area"))


def test_presets_hold_the_published_parameters():
    first, second = REALESRGAN.first, REALESRGAN.second
    assert (first.blur_sigma, second.blur_sigma) == ((0.2, 3.0), (0.2, 1.5))
    assert (first.resize_range, second.resize_range) == ((0.15, 1.5), (0.3, 1.2))
    assert (first.noise_range, second.noise_range) == ((1, 30), (1, 25))
    assert (first.poisson_range, second.poisson_range) == ((0.05, 3), (0.05, 2.5))
    assert (first.jpeg_range, second.jpeg_range) == ((30, 95), (30, 95))
    assert (first.blur_prob, second.blur_prob, REALESRGAN.final_sinc_prob) == (1.0, 0.8, 0.8)
    first, second = STABLESR.first, STABLESR.second
    assert (first.blur_sigma, second.blur_sigma) == ((0.2, 1.5), (0.2, 1.0))
    assert (first.resize_range, second.resize_range) == ((0.3, 1.5), (0.6, 1.2))
    assert (first.jpeg_range, second.jpeg_range) == ((60, 95), (60, 100))
    assert (second.blur_prob, STABLESR.clean_prob, STABLESR.usm) == (0.5, 0.01, True)
    assert all(sum(s.resize_prob) == pytest.approx(1) for p in PRESETS.values() for s in (p.first, p.second))
    assert sum(kernels.FAMILY_PROBS) == pytest.approx(1)


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


def test_levels_are_monotone():
    hr = scenes(24, 96, seed=5)
    clean = F.interpolate(hr, (24, 24), mode="bicubic", antialias=True).clamp(0, 1)
    means = []
    for level in (0.0, *LEVELS.values(), 1.0):
        error = (degrade(hr, at_level(level), range(24)) - clean).square().mean((1, 2, 3))
        means.append(float((-10 * error.log10()).mean()))
    assert list(LEVELS) == ["mild", "medium", "severe"]
    assert all(a > b + 0.5 for a, b in itertools.pairwise(means)), means


def test_level_interpolates_every_number():
    low, mid, high = at_level(0.0), at_level(0.5), at_level(1.0)
    for stage in ("first", "second"):
        for field in dataclasses.fields(synthesis.Stage):
            a, m, b = (np.asarray(getattr(getattr(d, stage), field.name)) for d in (low, mid, high))
            assert np.allclose(m, (a + b) / 2), field.name
    for level in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match="severity level"):
            at_level(level)


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
    sharp = synthesis.sharpen(image)
    assert sharp[:, 48, 47].max() < 0.29 and sharp[:, 48, 48].min() > 0.61
    flat = torch.full((3, 96, 96), 0.4)
    assert torch.allclose(synthesis.sharpen(flat), flat, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from(kernels.SIZES))
def test_kernels_are_normalised_and_symmetric(seed, size):
    rng = np.random.default_rng(seed)
    blur = kernels.draw_blur(rng, size, (0.2, 3.0), (0.5, 4.0), (1.0, 2.0))
    ring = kernels.draw_stage_sinc(rng, size)
    for kernel in (blur, ring):
        assert kernel.shape == (size, size)
        assert kernel.sum() == pytest.approx(1)
        assert np.allclose(kernel, kernel[::-1, ::-1])
    assert blur.min() >= 0


def test_convolution_equals_the_direct_one():
    image = scenes(1, 40)[0, :, :, :37]
    rng = np.random.default_rng(0)
    for size in kernels.SIZES:
        kernel = rng.random((size, size))
        kernel /= kernel.sum()
        padded = F.pad(image[:, None], [size // 2] * 4, mode="reflect")
        flipped = torch.from_numpy(kernel[::-1, ::-1].astype(np.float32).copy())[None, None]
        assert torch.allclose(kernels.convolve(image, kernel), F.conv2d(padded, flipped)[:, 0], atol=2e-6)


def test_noise_strength_is_in_grey_levels():
    gray = torch.full((3, 128, 128), 0.5)
    stage = dataclasses.replace(REALESRGAN.first, gaussian_prob=1.0, gray_prob=0.0, noise_range=(12.0, 12.0))
    noisy = synthesis._noise(gray, stage, np.random.default_rng(0))
    assert float(noisy.std() * 255) == pytest.approx(12, rel=0.02)
    photons = synthesis._poisson(gray, True, np.random.default_rng(0))
    assert photons.shape == (1, 128, 128)  # the same in all channels
    assert float(photons.std()) == pytest.approx((128 / 255) ** 0.5, rel=0.02)  # one level: the variance is the mean
