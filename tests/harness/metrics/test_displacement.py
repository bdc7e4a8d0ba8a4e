"""Displacement: known moves by parts of a pixel, of made and of real images."""

import math

import numpy as np
import pytest
from PIL import Image

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb
from isrbench.harness.metrics.displacement import displacement, shift
from isrbench.harness.metrics.fidelity import rounded_luma
from tests.support.images import make_scene

MOVES = [(0.0, 0.0), (0.5, -0.25), (1.3, 2.7), (-3.62, 0.1), (0.0, -9.0), (21.4, -13.8)]


def waves(down: float, right: float, height: int = 120, width: int = 104) -> np.ndarray:
    """A sum of waves, moved exactly: it is evaluated where it stands."""
    rng = np.random.default_rng(3)
    y, x = np.arange(height)[:, None] - down, np.arange(width)[None] - right
    plane = np.full((height, width), 128.0)
    for _ in range(60):
        fy, fx = rng.uniform(-0.18, 0.18, 2)
        plane += 6 * np.cos(2 * math.pi * (fy * y + fx * x + rng.random()))
    return plane


def moved(image: np.ndarray, down: float, right: float) -> np.ndarray:
    """An image moved round its edges by a Fourier shift, and 24 pixels cut off on all sides of it."""
    height, width = image.shape[:2]
    turn = np.exp(-2j * np.pi * (np.fft.fftfreq(height)[:, None] * down + np.fft.fftfreq(width)[None] * right))
    planes = [np.fft.ifft2(np.fft.fft2(image[..., channel]) * turn).real for channel in range(3)]
    return np.clip(np.rint(np.stack(planes, -1)), 0, 255).astype(np.uint8)[24:-24, 24:-24]


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    pairs = [pair for pair in load_pairs(find_card("sample")) if pair.id.endswith("_mild")]
    return [read_rgb(pair.hr) for pair in pairs[:4] if pair.hr is not None]


@pytest.mark.parametrize("move", MOVES)
def test_known_moves_of_a_made_image(move):
    assert displacement(waves(*move), waves(0, 0)) == pytest.approx(move, abs=0.02)


@pytest.mark.parametrize("move", MOVES)
def test_known_moves_of_the_sample_images(photos, move):
    for photo in photos:
        still = moved(photo, 0, 0)
        found = displacement(rounded_luma(moved(photo, *move)), rounded_luma(still))
        assert found == pytest.approx(move, abs=0.02)
        assert shift(moved(photo, *move), still) == pytest.approx(math.hypot(*move), abs=0.03)


def test_a_blurred_and_noisy_result_is_placed_to_a_fifth_of_a_pixel(photos):
    rng = np.random.default_rng(0)
    for photo in photos:
        still, other = moved(photo, 0, 0), moved(photo, 1.3, 2.7)
        size = other.shape[1::-1]
        small = Image.fromarray(other).resize((size[0] // 4, size[1] // 4), Image.Resampling.BICUBIC)
        dirty = np.clip(np.asarray(small) + rng.normal(0, 8, (small.height, small.width, 3)), 0, 255).astype(np.uint8)
        restored = np.asarray(Image.fromarray(dirty).resize(size, Image.Resampling.BICUBIC))
        assert shift(restored, still) == pytest.approx(math.hypot(1.3, 2.7), abs=0.2)


def test_equal_images_are_not_displaced_and_noise_alone_moves_nothing():
    scene, noisy = make_scene()
    assert shift(scene, scene) == 0
    assert shift(noisy, scene) < 0.05
    assert shift(np.roll(scene, (3, -4), (0, 1)), scene) == pytest.approx(5, abs=0.05)


def test_either_way_round_is_as_far():
    one, other = waves(0.4, -1.7), waves(0, 0)
    there, back = displacement(one, other), displacement(other, one)
    assert there == pytest.approx([-value for value in back], abs=1e-9)


def test_a_flat_image_has_no_place():
    scene, _ = make_scene()
    assert math.isnan(shift(np.full_like(scene, 7), scene)) and math.isnan(shift(scene, np.full_like(scene, 7)))


def test_images_that_do_not_fit():
    scene, noisy = make_scene()
    with pytest.raises(ValueError, match=r"\(192, 176, 3\).*\(191, 176, 3\)"):
        shift(scene, noisy[1:])
    with pytest.raises(ValueError, match="None"):
        shift(scene, None)
    with pytest.raises(UserError, match="16 pixels, not 176x15"):
        shift(scene[:15], noisy[:15])
