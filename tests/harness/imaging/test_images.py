"""Reading is strict, writing is whole, and 8-bit values survive their way through floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import (
    hr_hash,
    lr_hash,
    read_hr,
    read_lr,
    read_rgb,
    read_size,
    to_pixels,
    to_tensor,
    write_png,
)
from tests.support.images import BAD_IMAGES, make_image


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_refused_with_its_path_and_a_fix(name: str, tmp_path: Path) -> None:
    write, words = BAD_IMAGES[name]
    path = tmp_path / ("b.jpg" if "JPEG" in name else "b.png")
    write(path)
    with pytest.raises(UserError) as caught:
        read_rgb(path)
    assert str(path) in caught.value.message and words in caught.value.message and caught.value.fix


def test_good_images_are_read_as_they_are(tmp_path: Path) -> None:
    pixels = make_image(3, 9, 7)
    write_png(tmp_path / "x.png", pixels)
    assert np.array_equal(read_rgb(tmp_path / "x.png"), pixels)
    assert read_size(tmp_path / "x.png") == (9, 7)
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"], "a partial file was left behind"


def test_the_smallest_png_has_the_same_pixels_in_fewer_bytes(tmp_path: Path) -> None:
    pixels = make_image(3, 64, 64)
    write_png(tmp_path / "fast.png", pixels)
    write_png(tmp_path / "small.png", pixels, smallest=True)
    assert np.array_equal(read_rgb(tmp_path / "small.png"), pixels)
    assert (tmp_path / "small.png").stat().st_size < (tmp_path / "fast.png").stat().st_size


def test_an_image_that_has_changed_since_its_check_is_refused(tmp_path: Path) -> None:
    path, pixels = tmp_path / "x.png", make_image(3, 9, 7)
    write_png(path, pixels)
    assert np.array_equal(read_lr(path, lr_hash(pixels)), pixels)
    assert np.array_equal(read_hr(path, hr_hash(pixels)), pixels)
    write_png(path, pixels[::-1].copy())
    for read, expected in ((read_lr, lr_hash(pixels)), (read_hr, hr_hash(pixels))):
        with pytest.raises(UserError, match=r"x\.png has changed since it was checked"):
            read(path, expected)
        assert read(path).shape == pixels.shape, "without a hash any pixels will do"


def test_the_hash_of_an_lr_image_knows_its_size() -> None:
    pixels = make_image(0, 4, 6)
    assert lr_hash(pixels) != lr_hash(pixels.reshape(6, 4, 3))
    assert hr_hash(pixels) != hr_hash(pixels ^ 1)


@given(st.integers(0, 255))
def test_eight_bit_values_survive_float(value: int) -> None:
    pixels = np.full((1, 1, 3), value, np.uint8)
    assert np.array_equal(to_pixels(to_tensor(pixels)), pixels)


@given(st.floats(-2, 3, width=32))
def test_floats_are_clamped_and_rounded_half_up(value: float) -> None:
    image = torch.full((3, 1, 1), value)
    scaled = np.float32(255) * np.float32(min(max(value, 0), 1))
    assert to_pixels(image).ravel().tolist() == [int(np.floor(scaled + np.float32(0.5)))] * 3


def test_half_a_grey_level_is_rounded_up() -> None:
    image = torch.tensor([-0.1, 0.4999 / 255, 0.5 / 255, 1.7]).view(1, 1, 4).expand(3, 1, 4)
    assert to_pixels(image)[0, :, 0].tolist() == [0, 0, 1, 255]
