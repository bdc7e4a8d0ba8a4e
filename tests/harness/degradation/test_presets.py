"""The published parameters, our own preset, and the scale of severity levels."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from isrbench.harness.degradation import kernels
from isrbench.harness.degradation.pipeline import Stage, degrade
from isrbench.harness.degradation.presets import LEVELS, PRESETS, REALESRGAN, STABLESR, at_level
from tests.support.scenes import scenes


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
        for field in dataclasses.fields(Stage):
            a, m, b = (np.asarray(getattr(getattr(d, stage), field.name)) for d in (low, mid, high))
            assert np.allclose(m, (a + b) / 2), field.name
    for level in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match="severity level"):
            at_level(level)


def test_a_camera_blurs_and_hardly_adds_noise():
    """Noise on a flat image stays below two grey levels; an edge comes out softer than by downsampling alone."""
    flat = torch.full((8, 3, 64, 64), 0.5)
    camera = dataclasses.replace(PRESETS["camera"], clean_prob=0.0)
    assert (degrade(flat, camera, range(8)) - 0.5).std() < 2 / 255
    edge = torch.zeros(8, 3, 64, 64)
    edge[..., 30:] = 1

    def steepest(lr):
        return (lr[..., 1:] - lr[..., :-1]).abs().mean((1, 2)).amax(-1).mean()

    assert steepest(degrade(edge, camera, range(8))) < steepest(F.interpolate(edge, scale_factor=0.25, mode="area"))
