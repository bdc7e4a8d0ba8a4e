"""bicubic and lanczos: what the shared contract test cannot know."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from isrbench.harness.api.method import Runtime
from isrbench.harness.imaging.images import to_pixels, to_tensor
from isrbench.methods.classical import plugin as classical
from tests.support.images import noise_image


@pytest.mark.parametrize(
    ("plugin", "kernel"),
    [(classical.BICUBIC, Image.Resampling.BICUBIC), (classical.LANCZOS, Image.Resampling.LANCZOS)],
)
def test_interpolation_is_pils_on_8_bits(plugin, kernel):
    pixels = noise_image(17, 23)
    method = plugin.make(plugin.options(), Runtime(scale=3))
    restored = to_pixels(method.restore(to_tensor(pixels), image="a", seed=0).image)
    assert np.array_equal(restored, np.asarray(Image.fromarray(pixels).resize((69, 51), kernel)))


def test_interpolation_counts_its_taps():
    cost = classical.BICUBIC.make(classical.NoOptions(), Runtime(scale=4)).cost(10, 20)
    assert cost.macs == 3 * 4 * (10 * 80 + 40 * 80) and cost.params_total == 0
