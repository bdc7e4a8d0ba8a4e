"""Pictures through a method: in tiles, to any scale, with transparency, and with the colours of their profile."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from isrbench.harness.api.method import Restored, Runtime
from isrbench.harness.engine import enlarging, restore_files
from isrbench.harness.engine.enlarging import Enlarger, count_picture_tiles, enlarge, enlarge_alpha, make_enlarger
from isrbench.harness.engine.restore_files import restore
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.tiling import TileOptions
from tests.support.images import make_image
from tests.support.odd_images import display_p3_profile


class _Doubles:
    """Enlarges by two, each pixel by itself, and keeps the sizes that it saw."""

    weights_hash = ""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def restore(self, lr, *, image, seed):
        self.seen.append(tuple(lr.shape[1:]))
        return Restored(lr.repeat_interleave(2, 1).repeat_interleave(2, 2))

    def cost(self, height, width):
        raise NotImplementedError

    def input_hash(self, image):
        return ""


def _enlarger(scale: float = 2, tiles: TileOptions | None = None) -> tuple[Enlarger, _Doubles]:
    method = _Doubles()
    return Enlarger(method, "doubles", 2, scale, 0, "cpu", tiles), method


def test_a_large_picture_goes_through_in_even_tiles_and_comes_out_the_same() -> None:
    pixels, told = make_image(0, 300, 900), []
    enlarger, method = _enlarger(tiles=TileOptions())
    large = enlarge(enlarger, pixels, "a", lambda done, tiles: told.append((done, tiles)))
    assert np.array_equal(large, pixels.repeat(2, 0).repeat(2, 1))
    assert set(method.seen) == {(166, 249)} and told == [(n, 8) for n in range(1, 9)]
    assert count_picture_tiles(enlarger, 300, 900) == 8 and count_picture_tiles(enlarger, 512, 512) == 1


@pytest.mark.parametrize(
    ("tiles", "sizes"),
    [(None, {(30, 40)}), (TileOptions(), {(30, 40)}), (TileOptions(tile=16, overlap=4), {(16, 16)})],
)
def test_tiles_are_as_the_options_say(tiles: TileOptions | None, sizes: set[tuple[int, int]]) -> None:
    enlarger, method = _enlarger(tiles=tiles)
    pixels = make_image(0, 30, 40)
    assert np.array_equal(enlarge(enlarger, pixels, "a"), pixels.repeat(2, 0).repeat(2, 1))
    assert set(method.seen) == sizes


def test_any_scale_by_a_resize() -> None:
    """A network of one factor, and a plain method that takes any whole one."""
    assert enlarge(_enlarger(scale=1.5)[0], make_image(0, 5, 7), "a").shape == (8, 11, 3)
    plain = make_enlarger("bicubic", scale=2.5)
    assert plain.factor == 3 and enlarge(plain, make_image(0, 10, 8), "a").shape == (25, 20, 3)
    for scale in (0, -1, float("nan"), float("inf"), 17):
        with pytest.raises(UserError, match="above 0 and at most 16"):
            make_enlarger("bicubic", scale=scale)


def test_a_factor_that_is_refused_is_not_the_only_one(monkeypatch) -> None:
    asked: list[int] = []

    def make(options, runtime):
        asked.append(runtime.scale)
        if runtime.scale != 4:
            raise UserError(f"it enlarges x4, not x{runtime.scale}", "")
        return _Doubles()

    plugin = type("Plugin", (), {"make": staticmethod(make)})()
    assert enlarging._built(plugin, None, 2, Runtime())[1] == 4 and asked == [2, 4]  # type: ignore[arg-type]
    broken = type("Plugin", (), {"make": staticmethod(lambda options, runtime: _refuse(asked))})()
    asked.clear()
    with pytest.raises(UserError, match="no weights"):
        enlarging._built(broken, None, 2, Runtime())  # type: ignore[arg-type]
    assert len(asked) == 2, "the same refusal twice is not about the factor"


def _refuse(asked: list[int]) -> None:
    asked.append(0)
    raise UserError("no weights", "")


def test_a_mask_is_enlarged_without_rings() -> None:
    mask = np.zeros((12, 12), np.uint8)
    mask[4:8, 4:8] = 255
    large = enlarge_alpha(mask, (48, 48))
    assert large.shape == (48, 48) and (large[:12] == 0).all() and (large[21:27, 21:27] == 255).all()
    half = enlarge_alpha(np.full((3, 3), 100, np.uint8), (6, 6))
    assert (half == 100).all()


@pytest.mark.parametrize(("ending", "off"), [("png", 1), ("tif", 1), ("webp", 6), ("jpg", 6)])
def test_a_display_p3_photo_keeps_its_colours(ending: str, off: int, tmp_path: Path) -> None:
    """Pixel by pixel through the profiles of both files, in Lab; without the profile the colours would be others."""
    colours = np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    colours[0, 0] = (0, 255, 0)  # a green that sRGB has not
    photo = Image.fromarray(colours.repeat(16, 0).repeat(16, 1))
    photo.save(tmp_path / "in.png", icc_profile=display_p3_profile())
    restore(tmp_path / "in.png", "bicubic", to=tmp_path / f"out.{ending}", scale=2)
    with Image.open(tmp_path / "in.png") as before, Image.open(tmp_path / f"out.{ending}") as after:
        assert after.size == (160, 128) and after.info["icc_profile"] == display_p3_profile()
        seen = [_lab(image, image.info["icc_profile"], step) for image, step in ((before, 16), (after, 32))]
        stripped = _lab(after, None, 32)
    assert np.abs(seen[0] - seen[1]).max() <= off
    assert np.abs(seen[0] - stripped).max() > 10


def _lab(image: Image.Image, profile: bytes | None, step: int) -> np.ndarray:
    """The colours in the middle of every patch, as an eye sees them."""
    source = ImageCms.ImageCmsProfile(BytesIO(profile)) if profile else ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(image.convert("RGB"), source, ImageCms.createProfile("LAB"), outputMode="LAB")
    assert lab is not None
    values = np.asarray(lab).astype(int)[step // 2 :: step, step // 2 :: step]
    values[..., 1:] = (values[..., 1:] + 128) % 256 - 128  # a and b are signed
    return values


def test_files_keep_transparency_and_originals(tmp_path: Path, monkeypatch) -> None:
    seen = np.dstack([make_image(0, 20, 30), np.full((20, 30), 255, np.uint8)])
    seen[:, :10, 3] = 0
    Image.fromarray(seen).save(tmp_path / "cut.png")
    restore(tmp_path / "cut.png", "bicubic", to=tmp_path / "large.webp", scale=2)
    with Image.open(tmp_path / "large.webp") as large:
        alpha = np.asarray(large.convert("RGBA"))[..., 3]
    assert alpha.shape == (40, 60) and (alpha[:, :17] == 0).all() and (alpha[:, 24:] == 255).all()
    refusals = (("large.jpg", "cannot be transparent"), ("cut.png", "is an original"), ("a.bmp", "PNG, JPEG"))
    for target, words in refusals:
        with pytest.raises(UserError, match=words):
            restore(tmp_path / "cut.png", "bicubic", to=tmp_path / target, scale=2, overwrite=True)
    with pytest.raises(UserError, match="is an original"):
        restore(tmp_path, "bicubic", to=tmp_path, overwrite=True)
    with pytest.raises(UserError, match="an array has no place"):
        restore(tmp_path / "cut.png", "bicubic")
    with Image.open(tmp_path / "cut.png") as image:
        assert np.array_equal(np.asarray(image), seen)


def test_without_a_method_the_best_that_is_here_is_taken_and_named(tmp_path: Path, monkeypatch, caplog) -> None:
    from isrbench.methods.zoo import photos

    monkeypatch.setattr(photos, "PREFERRED", ())
    Image.fromarray(make_image(0, 8, 8)).save(tmp_path / "a.png")
    with caplog.at_level("INFO", logger="isrbench.steps"):
        assert restore_files.restore(tmp_path / "a.png").shape == (32, 32, 3)
    assert "method bicubic: no network's weights are here" in caplog.text


def test_preferred_networks_are_cards_and_the_first_whose_weights_are_here_is_taken(monkeypatch) -> None:
    from isrbench.methods.zoo import photos
    from isrbench.methods.zoo.card import shipped_cards

    def find(card):
        if card.id != "bsrgan":
            raise UserError("not here", "")

    assert set(photos.PREFERRED) <= set(shipped_cards()) and photos.PREFERRED[0] == "realesrgan-x4plus"
    monkeypatch.setattr(photos, "find_weights", find)
    assert photos.best_here()[0] == "bsrgan"
    monkeypatch.setattr(photos, "PREFERRED", ("hat-real",))
    assert photos.best_here()[0] == "bicubic"


def test_tiles_of_a_network_are_the_harness_s(monkeypatch) -> None:
    """So that a bar counts them; ``tile=0`` in so many words is the whole picture."""
    torch.manual_seed(0)
    for texts, tiles in (({}, TileOptions()), ({"tile": "64"}, TileOptions(64, 16)), ({"tile": 0}, None)):
        plugin = type("Plugin", (), {"info": type("Info", (), {"id": "net"}), "options": TileOptions})()
        monkeypatch.setattr(enlarging, "methods", lambda plugin=plugin: {"net": plugin})
        monkeypatch.setattr(enlarging, "method_options", lambda plugin, texts: TileOptions(int(texts.get("tile", 0))))
        monkeypatch.setattr(enlarging, "_built", lambda plugin, options, scale, device: (options, 4))
        made = make_enlarger("net", texts, device="cpu")
        assert made.tiles == tiles and made.method == TileOptions()
