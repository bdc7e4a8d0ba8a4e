"""GMSD against pyiqa, where it can be odd: sizes, borders, images without a gradient."""

import math

import numpy as np
import pyiqa
import pytest

from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.metrics.gradient import gmsd
from tests.support.images import make_scene, noise_image


@pytest.fixture(scope="module")
def theirs():
    metric = pyiqa.create_metric("gmsd", device="cpu")
    return lambda x, y: float(metric(to_tensor(x)[None], to_tensor(y)[None]))


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (2, 9), (50, 61), (321, 481)])
def test_gmsd_is_pyiqas(theirs, size):
    one, other = noise_image(*size, seed=1), noise_image(*size, seed=2)
    scene, noisy = (np.resize(image, (*size, 3)) for image in make_scene())
    flat, square = np.full_like(one, 200), np.full_like(one, 200)
    square[: size[0] // 2, : size[1] // 2] = 10
    for x, y in ((one, other), (noisy, scene), (255 - scene, scene), (square, flat), (flat // 4, flat)):
        assert gmsd(x, y) == pytest.approx(theirs(x, y), abs=1e-7)
    assert gmsd(scene, scene) == 0


def test_one_value_deviates_from_nothing():
    image = noise_image(3, 3)
    assert math.isnan(gmsd(image, image)) and math.isnan(gmsd(image[:1], image[:1]))


def test_shapes_must_agree():
    image = noise_image(8, 8)
    for reference in (image[1:], None):
        with pytest.raises(ValueError, match="has shape"):
            gmsd(image, reference)
