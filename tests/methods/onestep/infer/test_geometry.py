"""Images of every size: what geometry plans, and what tiles need."""

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.infer.geometry import check_tile, pad, plan, upscale


def test_geometry():
    assert plan(128, 128, 4, 512, 64).padded == (512, 512)
    small = plan(1, 1, 4, 512, 64)
    assert (small.upscaled, small.result) == ((512, 512), (4, 4))
    thin = plan(1, 1000, 4, 512, 64)
    assert thin.result == (4, 4000) and max(thin.upscaled) <= 4096
    assert plan(50, 60, 3, 0, 8).upscaled == (150, 180)
    image = torch.rand(3, 5, 7)
    padded = pad(image, (16, 24))
    assert torch.equal(padded[:, :5, :7], image) and torch.equal(padded[:, 5, :7], image[:, 3])
    assert torch.equal(pad(image[:, :1, :1], (4, 4)), image[:, :1, :1].expand(3, 4, 4))
    lr = (torch.rand(3, 6, 6) * 255).round() / 255
    assert torch.allclose(upscale(lr, plan(6, 6, 1, 0, 8), 1), lr)


def test_torch_enlarges_at_once_and_without_rounding():
    """One row of 0, 1: bilinear by hand, and Keys's bicubic (a = -0.75), which overshoots."""
    step = torch.tensor([0.0, 1.0]).expand(3, 1, 2)
    geometry = plan(1, 2, 4, 0, 8)
    linear = upscale(step, geometry, 4, "bilinear")
    assert linear.shape == (3, 4, 8)
    assert torch.allclose(linear[0, 0], torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]))
    cubic = upscale(step, geometry, 4, "bicubic")[0, 0]

    def keys(x, a=-0.75):
        x = abs(x)
        return (a + 2) * x**3 - (a + 3) * x**2 + 1 if x <= 1 else a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0

    by_hand = [sum(keys((i + 0.5) / 4 - 0.5 - k) * (k >= 1) for k in range(-3, 6)) for i in range(8)]
    assert torch.allclose(cubic, torch.tensor(by_hand), atol=1e-6) and cubic.max() > 1
    small = plan(2, 3, 4, 32, 8)
    assert upscale(torch.rand(3, 2, 3), small, 4, "bicubic").shape == (3, *small.upscaled) != (3, 8, 12)


def as_osediff(height, width, scale, process_size):
    """Its test script's sizes: int(factor * side), then times the scale."""
    least = process_size // scale
    if width < least or height < least:
        factor = least / min(width, height)
        height, width = int(factor * height), int(factor * width)
    return height * scale, width * scale


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_sizes_are_osediff_s_and_padded_ones_divide(scale):
    sizes = [(h, w) for h in range(20, 160, 7) for w in range(20, 160, 11)]
    for height, width in sizes:
        found = plan(height, width, scale, 512, 64)
        assert found.upscaled == as_osediff(height, width, scale, 512)
        assert found.result == (height * scale, width * scale)
        assert all(p % 64 == 0 and 0 <= p - u < 64 for p, u in zip(found.padded, found.upscaled, strict=True))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (3, 2), (127, 129)])
def test_extreme_sizes_stay_valid_and_bounded(size, scale):
    found = plan(*size, scale, 512, 64)
    assert min(found.upscaled) >= scale * min(size) and max(found.upscaled) <= max(8 * 512, scale * max(size))
    assert all(u % scale == 0 for u in found.upscaled)


def test_a_tile_has_to_be_halved_evenly():
    for tile, multiple in ((96, 8), (8, 8), (16, 2)):
        check_tile(tile, multiple)
    for tile, multiple in ((4, 8), (20, 8), (15, 2)):
        with pytest.raises(UserError, match=f"multiple of {multiple}"):
            check_tile(tile, multiple)
