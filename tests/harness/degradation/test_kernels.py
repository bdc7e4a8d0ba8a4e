"""Blur kernels: normalised, symmetric, and applied as a plain convolution would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from isrbench.harness.degradation import kernels
from tests.support.scenes import scenes


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
