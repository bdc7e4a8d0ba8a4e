"""LR-PSNR against arithmetic by hand and the harness' own reduction."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.metrics.consistency import lr_consistency, reduced
from tests.support.images import make_scene, noise_image


def grey(value: int, height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_of_two_greys_by_hand():
    assert lr_consistency(grey(100, 16, 24), None, grey(110, 4, 6)) == pytest.approx(
        20 * math.log10(255 / 10), abs=1e-4
    )


def test_one_channel_that_is_off_counts_a_third():
    lr = grey(100, 4, 6)
    lr[..., 2] += 10
    expected = -10 * math.log10((10 / 255) ** 2 / 3 + 1e-8)
    assert lr_consistency(grey(100, 16, 24), None, lr) == pytest.approx(expected, abs=1e-9)


def test_complete_agreement_gives_80_db():
    assert lr_consistency(grey(9, 8, 8), None, grey(9, 2, 2)) == pytest.approx(80)
    scene, _ = make_scene()
    assert lr_consistency(scene, None, scene) == pytest.approx(80)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_reduction_is_the_one_that_makes_clean_lrs(scale):
    image = noise_image(12 * scale, 7 * scale)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    clean = torch.nn.functional.interpolate(tensor, (12, 7), mode="bicubic", antialias=True).clamp(0, 255)
    assert reduced(image, 12, 7) == pytest.approx(clean[0].permute(1, 2, 0).numpy(), abs=1e-3)


def test_the_hr_image_and_the_order_of_the_channels_do_not_matter():
    scene, noisy = make_scene()
    lr = np.asarray(Image.fromarray(scene).resize((44, 48), Image.Resampling.BICUBIC))
    value = lr_consistency(noisy, None, lr)
    assert lr_consistency(noisy, scene, lr) == value
    turned = [2, 0, 1]
    assert lr_consistency(noisy[..., turned], None, lr[..., turned]) == pytest.approx(value, abs=1e-12)
    assert lr_consistency(noisy, None, lr[..., turned]) < value - 5


def test_what_the_lr_cannot_hold_is_free_and_what_it_holds_is_not():
    scene, _ = make_scene()
    lr = np.asarray(Image.fromarray(scene).resize((44, 48), Image.Resampling.BICUBIC))
    checked = np.clip(scene + 8 * (np.indices(scene.shape[:2]).sum(0) % 2 * 2 - 1)[..., None], 0, 255).astype(np.uint8)
    brighter = np.clip(scene.astype(int) + 8, 0, 255).astype(np.uint8)
    assert lr_consistency(checked, None, lr) > 45
    assert lr_consistency(brighter, None, lr) < 31


def test_an_lr_that_is_absent_or_larger():
    with pytest.raises(ValueError, match="None"):
        lr_consistency(grey(0, 8, 8), None, None)
    with pytest.raises(ValueError, match=r"\(8, 8, 3\).*\(9, 8, 3\)"):
        lr_consistency(grey(0, 8, 8), None, grey(0, 9, 8))
