"""Colour fixes against their formulas."""

import torch
import torch.nn.functional as F

from isrbench.methods.onestep.infer.colour import adain, fix_colour, truncate, wavelet


def test_adain_matches_statistics_and_wavelet_matches_low_frequencies():
    image, source = torch.rand(3, 40, 40), torch.rand(3, 40, 40) * 0.5 + 0.2
    fixed = adain(image, source)
    assert torch.allclose(fixed.mean((1, 2)), source.mean((1, 2)), atol=1e-5)
    assert torch.allclose(fixed.std((1, 2)), source.std((1, 2)), atol=1e-4)
    flat = torch.full((3, 40, 40), 0.25)
    assert torch.allclose(wavelet(image, image), image, atol=1e-6)
    assert torch.allclose(wavelet(flat, source), wavelet(flat * 2, source), atol=1e-6)
    # One level by hand: the published loop sums the bands (image - blur) before it adds the source's rest.
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).expand(3, 1, 3, 3) / 16
    high, low, rest = torch.zeros(1, 3, 40, 40), image[None], source[None]
    for i in range(5):

        def blur(x, r=2**i):
            return F.conv2d(F.pad(x, (r,) * 4, mode="replicate"), kernel, groups=3, dilation=r)

        high, low, rest = high + low - blur(low), blur(low), blur(rest)
    assert torch.allclose(wavelet(image, source), (high + rest)[0], atol=1e-5)
    assert torch.isfinite(fix_colour(torch.rand(3, 1, 1), torch.rand(3, 1, 1), "adain")).all()


def test_truncation_keeps_every_level_and_rounds_down_between():
    levels = torch.arange(256) / 255
    assert torch.equal(truncate(levels) * 255, torch.arange(256.0).div(255).mul(255))
    assert truncate(torch.tensor([10.9 / 255])).mul(255).round() == 10
