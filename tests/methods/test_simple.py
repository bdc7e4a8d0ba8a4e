"""bicubic, lanczos, folder: what the shared contract test cannot know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import to_pixels, to_tensor, write_png
from isrbench.methods.classical import plugin as classical
from isrbench.methods.folder import plugin as folder


def _pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---------------------------------------------------------------- bicubic, lanczos


@pytest.mark.parametrize(
    ("plugin", "kernel"),
    [(classical.BICUBIC, Image.Resampling.BICUBIC), (classical.LANCZOS, Image.Resampling.LANCZOS)],
)
def test_interpolation_is_pils_on_8_bits(plugin, kernel):
    pixels = _pixels(17, 23)
    method = plugin.build(plugin.options(), Runtime(scale=3))
    restored = to_pixels(method.restore(to_tensor(pixels), image="a", seed=0).image)
    assert np.array_equal(restored, np.asarray(Image.fromarray(pixels).resize((69, 51), kernel)))


def test_interpolation_counts_its_taps():
    complexity = classical.BICUBIC.build(classical.NoOptions(), Runtime(scale=4)).complexity(10, 20)
    assert complexity.macs == 3 * 4 * (10 * 80 + 40 * 80) and complexity.params_total == 0


# ---------------------------------------------------------------- folder


@pytest.fixture
def restored_folder(tmp_path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    write_png(made / "a.png", _pixels(16, 24))
    return made


def _build_folder(images: Path, suffix: str = ""):
    return folder.PLUGIN.build(folder.FolderOptions(images, suffix), Runtime(scale=4))


def test_folder_passes_pixels_through(restored_folder):
    method = _build_folder(restored_folder)
    restored = method.restore(torch.zeros(3, 4, 6), image="a", seed=0)
    assert np.array_equal(to_pixels(restored.image), _pixels(16, 24))
    assert method.fingerprint("a") == file_hash(restored_folder / "a.png")


def test_every_grey_level_survives_the_way_through_float():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_pixels(to_tensor(levels)), levels)


def test_folder_fingerprint_follows_the_image(restored_folder):
    method = _build_folder(restored_folder)
    before = method.fingerprint("a")
    write_png(restored_folder / "a.png", _pixels(16, 24, seed=1))
    assert method.fingerprint("a") != before


def test_folder_suffixes(restored_folder):
    write_png(restored_folder / "b_swin.png", _pixels(16, 24))
    write_png(restored_folder / "c_1.png", _pixels(16, 24))
    write_png(restored_folder / "c_2.png", _pixels(16, 24))
    lr = torch.zeros(3, 4, 6)
    assert _build_folder(restored_folder, "_swin").restore(lr, image="b", seed=0)
    assert _build_folder(restored_folder, "_*").restore(lr, image="b", seed=0)
    with pytest.raises(UserError, match="fits 2 files"):
        _build_folder(restored_folder, "_*").restore(lr, image="c", seed=0)
    with pytest.raises(UserError, match=r"holds no b\.png") as caught:
        _build_folder(restored_folder).restore(lr, image="b", seed=0)
    assert caught.value.fix == "-o 'suffix=_swin' would take b_swin.png"
    with pytest.raises(UserError, match="goes between"):
        folder.FolderOptions(restored_folder, "_x.png")


def test_folder_refuses_a_wrong_size_and_a_missing_image(restored_folder):
    method = _build_folder(restored_folder)
    with pytest.raises(UserError, match="is 24x16, but a x4 is 20x20"):
        method.restore(torch.zeros(3, 5, 5), image="a", seed=0)
    with pytest.raises(UserError, match=r"holds no z\.png"):
        method.fingerprint("z")


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        _build_folder(tmp_path / "absent")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"holds no PNG \(but images ending in \.jpg\)"):
        _build_folder(tmp_path)


def test_folder_reports_files_that_belong_to_no_image(restored_folder, tmp_path, caplog):
    lr = tmp_path / "lr"
    lr.mkdir()
    for name in ("a", "b"):
        write_png(lr / f"{name}.png", _pixels(4, 6))
    write_png(restored_folder / "b.png", _pixels(16, 24))
    method = _build_folder(restored_folder)
    method.prepare([("a", lr / "a.png")])  # b was left out on purpose, it is no stranger
    assert not caplog.records
    write_png(restored_folder / "stranger.png", _pixels(16, 24))
    _build_folder(restored_folder).prepare([("a", lr / "a.png")])
    assert "1 PNGs" in caplog.text and "stranger.png" in caplog.text
