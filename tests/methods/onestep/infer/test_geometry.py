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
