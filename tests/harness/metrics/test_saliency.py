"""VSI against pyiqa: sizes on both sides of every step of the averaging, images that have hardly any colour."""

import numpy as np
import pyiqa
import pytest
from PIL import Image

from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.metrics.saliency import vsi
from tests.support.images import make_image, noise_image


@pytest.fixture(scope="module")
def theirs():
    metric = pyiqa.create_metric("vsi", device="cpu")
    return lambda x, y: float(metric(to_tensor(x)[None], to_tensor(y)[None]))


# 384 / 256 is rounded to 2 and 640 / 256 to 2 as well: halves go to the even number.
@pytest.mark.parametrize("size", [(1, 1), (1, 30), (5, 7), (255, 301), (384, 385), (383, 400), (640, 641), (641, 703)])
def test_vsi_is_pyiqas(theirs, size):
    scene, rng = make_image(1, *size), np.random.default_rng(size[1])
    restored = np.clip(scene + rng.normal(0, 12, scene.shape), 0, 255).astype(np.uint8)
    grey, restored_grey = (np.repeat(image[..., 1:2], 3, axis=2) for image in (scene, restored))
    for x, y in (
        (restored, scene), (restored_grey, grey), (noise_image(*size, seed=1), noise_image(*size, seed=2)),
        (255 - scene, scene), (scene, scene),
    ):  # fmt: skip
        assert vsi(x, y) == pytest.approx(theirs(x, y), abs=1e-7)


def test_vsi_of_an_enlarged_image_is_pyiqas(theirs):
    hr = make_image(3, 320, 480)
    hr[80:200, 100:300] = hr[80:200, 100:300] // 3
    small = Image.fromarray(hr).resize((120, 80), Image.Resampling.BICUBIC)
    restored = np.asarray(small.resize((480, 320), Image.Resampling.BICUBIC))
    value = vsi(restored, hr)
    assert 0.5 < value < 1 and value == pytest.approx(theirs(restored, hr), abs=1e-7)


def test_shapes_must_agree():
    image = noise_image(8, 8)
    for reference in (image[1:], None):
        with pytest.raises(ValueError, match="has shape"):
            vsi(image, reference)
