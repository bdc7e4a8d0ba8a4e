"""Tiles: where they start, how they are weighted and blended."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isrbench.harness.imaging.tiling import blend_tiles, gaussian_weights, ramp_weights, tile_starts


@given(st.integers(1, 300), st.integers(1, 64), st.data())
def test_tiles_cover_a_side_and_never_leave_it(length: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    starts = tile_starts(length, tile, overlap)
    side = min(tile, length)
    assert starts[0] == 0 and starts[-1] == length - side and starts == sorted(set(starts))
    assert all(after - before <= tile - overlap for before, after in pairwise(starts))


def test_starts_by_hand() -> None:
    assert tile_starts(37, 16, 4) == [0, 12, 21] and tile_starts(16, 16, 4) == [0]
    assert tile_starts(10, 12, 3) == [0] and tile_starts(100, 32, 8) == [0, 24, 48, 68]


@pytest.mark.parametrize(("tile", "overlap"), [(16, 4), (16, 8), (10, 0), (37, 16)])
@pytest.mark.parametrize("weighting", ["ramp", "gaussian"])
def test_tiles_blend_without_a_seam_and_do_not_depend_on_their_size(weighting: str, tile: int, overlap: int) -> None:
    image = torch.rand(1, 3, 37, 53, generator=torch.Generator().manual_seed(0))
    enlarge, scale = (torch.nn.Upsample(scale_factor=4, mode="nearest"), 4) if weighting == "ramp" else (lambda x: x, 1)
    size = (min(tile, 37), min(tile, 53))
    weights = ramp_weights(size, overlap, scale) if weighting == "ramp" else gaussian_weights(size)
    assert weights.shape == (size[0] * scale, size[1] * scale) and (weights > 0).all()
    tiled = blend_tiles(enlarge, image, size, overlap, weights, scale)
    assert torch.allclose(tiled, enlarge(image), atol=1e-5)


def test_tiles_ramp_from_one_to_the_next() -> None:
    """Tiles that disagree by a constant must meet in a slope, not in a step."""
    level = iter(torch.linspace(0, 1, 2))
    weights = ramp_weights((16, 16), 8)
    tiled = blend_tiles(
        lambda x: torch.full((1, 3, 16, 16), float(next(level))), torch.zeros(1, 3, 16, 24), (16, 16), 8, weights
    )
    row = tiled[0, 0, 3]
    assert row[:8].eq(0).all() and row[16:].eq(1).all()
    assert (row.diff() >= 0).all() and row.diff().max() < 0.2


def test_gaussian_weights_are_symmetric_and_fall_as_published() -> None:
    weights = gaussian_weights((10, 7))
    assert torch.equal(weights, weights.flip(0)) and torch.equal(weights, weights.flip(1))
    row = gaussian_weights((1, 9))[0]
    # exp(-(x - 4)^2 / (2 * 0.01 * 81)): two steps from the middle exp(-4 / 1.62).
    assert float(row[2] / row[4]) == pytest.approx(torch.tensor(-4 / 1.62).exp().item(), rel=1e-5)
