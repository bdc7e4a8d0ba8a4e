"""The severity estimator without weights: its features by hand, its curves, what it answers to, and sizes."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.identity import import_closure
from isrbench.harness.imaging.images import read_rgb, to_tensor
from isrbench.harness.severity import estimator as estimator_module
from isrbench.harness.severity import fit
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator, get_estimator
from isrbench.harness.severity.fft import CLIP, FftSeverity, standardise
from isrbench.harness.severity.known import alone, level_correlation
from isrbench.harness.severity.spec import CURVES, read_curves
from isrbench.harness.severity.spectrum import (
    FEATURES,
    RINGS,
    WINDOW,
    band_powers,
    features,
    grid,
    sharpness,
    starts,
)
from isrbench.harness.severity.training_data import WORST, degrade_by, read_images
from tests.support.paths import ROOT, SHARED

SAMPLE = ROOT / "datasets/sample"


@pytest.fixture(scope="module")
def fft() -> Estimator:
    return get_estimator("fft")


@pytest.fixture(scope="module")
def scenes() -> list[torch.Tensor]:
    """The eight scenes that ship, 256 px: no part of the fit."""
    return [to_tensor(read_rgb(path)) for path in sorted((SAMPLE / "HR").glob("*_mild.png"))]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def jpeg(plane: torch.Tensor, quality: int) -> torch.Tensor:
    buffer = io.BytesIO()
    Image.fromarray((plane * 255).round().byte().numpy()).save(buffer, format="JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer))).double() / 255


def test_white_noise_has_its_variance_in_every_band():
    plane = torch.randn(1, 200, 240, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.1
    bands = band_powers(plane)
    assert bands.shape == (1, len(starts(200)) * len(starts(240)), len(RINGS) - 1)
    assert bands.mean(1)[0].tolist() == pytest.approx([0.01] * 8, rel=0.1)


def test_a_wave_is_in_its_band_alone():
    x = torch.arange(96, dtype=torch.float64)
    for band in range(7):
        frequency = (RINGS[band] + RINGS[band + 1]) / 2
        plane = torch.sin(2 * np.pi * frequency * x).expand(1, 64, 96)
        mean = band_powers(plane).mean(1)[0]
        assert int(mean.argmax()) == band and mean[band] > 5 * mean.sort().values[-2]


def test_windows_cover_a_side_from_end_to_end():
    for length in (32, 33, 40, 41, 225, 1000, 5000):
        places = starts(length)
        assert places[0] == 0 and places[-1] == length - WINDOW and len(places) <= 32
        if length <= 1000:
            assert max(np.diff([*places, length])) <= WINDOW, "every pixel is seen"


def test_sharpness_is_half_for_a_step_whatever_its_contrast_and_falls_with_blur():
    step = torch.zeros(40, 40, dtype=torch.float64)
    step[:, 20:] = 1
    ramp = ((torch.arange(40, dtype=torch.float64) - 17) / 6).clamp(0, 1).expand(40, 40)
    assert float(sharpness(step)) == pytest.approx(0.5)
    assert float(sharpness(0.3 * step + 0.2)) == pytest.approx(0.5)
    assert float(sharpness(ramp)) < 0.3
    assert float(sharpness(torch.full((40, 40), 0.7, dtype=torch.float64))) == 0


@pytest.mark.parametrize("offset", [0, 3, 7])
def test_jpegs_grid_shows_wherever_it_begins(offset: int, scenes):
    plane = scenes[0].mean(0)[:128, :128].double()
    cut = [image[offset:, offset:] for image in (plane, jpeg(plane, 90), jpeg(plane, 30))]
    clean, light, heavy = (float(grid(image)) for image in cut)
    assert 0 <= clean < 0.15 < heavy and clean <= light < heavy


def test_features_are_finite_and_named(scenes):
    for image in (scenes[0], torch.zeros(3, 1, 1), torch.ones(3, 5, 90), noise(3, 40, 33)):
        values = features(image)
        assert values.shape == (len(FEATURES),) and values.dtype == torch.float64 and values.isfinite().all()


def test_severity_is_the_curve_over_the_features(fft: Estimator, scenes):
    curves, image = read_curves(), scenes[1][:, :70, :90]
    z = standardise(features(image), torch.tensor(curves.centre).double(), torch.tensor(curves.spread).double())
    assert z.abs().max() <= CLIP
    expected = torch.sigmoid(torch.tensor(curves.weights).double() @ z + torch.tensor(curves.offsets).double())
    assert fft.estimate(image[None])[0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**31),
    st.sampled_from(["uniform", "constant", "8-bit"]),
)  # fmt: skip
def test_any_batch_gets_numbers_in_0_1_that_do_not_depend_on_it(batch, height, width, seed, kind):
    images = noise(batch, 3, height, width, seed=seed)
    if kind != "uniform":
        images = images[..., :1, :1].expand_as(images) if kind == "constant" else (images * 255).round() / 255
    s = Estimator("fft").estimate(images)
    assert s.shape == (batch, 7) and s.dtype == torch.float32
    assert s.min() >= 0 and s.max() <= 1
    again = torch.cat([Estimator("fft").estimate(image[None]) for image in images.flip(0)]).flip(0)
    assert torch.equal(s, again)


def test_the_number_of_threads_changes_nothing(fft: Estimator):
    before, image = torch.get_num_threads(), noise(1, 3, 130, 170)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(Estimator("fft").estimate(image))
    torch.set_num_threads(before)
    assert torch.equal(*found)


def test_it_needs_no_open_clip_and_no_device():
    assert "isrbench.harness.severity.clip" not in import_closure("isrbench.harness.severity.fft")
    assert Estimator("fft", "cuda").device == "cpu"
    assert isinstance(Estimator("fft").load(), FftSeverity)
    Estimator("fft").check()
    assert get_estimator("fft") is get_estimator("fft", "cpu")


def test_a_folder_of_that_name_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "fft").mkdir()
    monkeypatch.chdir(tmp_path)
    assert get_estimator("fft").spec == "fft"
    assert isinstance(Estimator("fft").load(), FftSeverity)


def test_a_temperature_is_refused():
    with pytest.raises(UserError, match="no softmax"):
        get_estimator("fft", logit_scale=1.0)


def test_its_identity_follows_constants_and_code(monkeypatch: pytest.MonkeyPatch):
    first = Estimator("fft")
    assert len(first.id) == 64 and first.id == Estimator("fft").id != Estimator("tiny").id
    assert first.version not in (first.id, Estimator("tiny").version)
    curves = read_curves()
    other = dataclasses.replace(curves, offsets=(curves.offsets[0] + 1e-3, *curves.offsets[1:]))
    with monkeypatch.context() as patch:
        patch.setattr(estimator_module, "read_curves", lambda: other)
        assert Estimator("fft").id != first.id and Estimator("fft").version != first.version
    seen: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(estimator_module, "code_hash", lambda modules, releases=(): seen.extend(modules) or "other code")
        assert Estimator("fft").id != first.id
    assert {"isrbench.harness.severity.fft", "isrbench.harness.severity.spectrum"} <= set(seen)


def test_constants_that_are_incomplete_or_of_other_features(tmp_path: Path):
    path = tmp_path / "fft.toml"
    with pytest.raises(UserError, match=r"fft\.toml does not exist"):
        read_curves(path)
    for line in ("blur = ", '"edge sharpness"'):
        kept = [text for text in CURVES.read_text().splitlines() if not text.startswith(line)]
        path.write_text("\n".join(kept))
        if line.startswith("blur"):
            with pytest.raises(UserError, match="blur"):
                read_curves(path)
        else:
            with pytest.raises(ValueError, match="edge sharpness"):
                FftSeverity(read_curves(path))


def test_the_file_says_which_command_made_it():
    assert "isrbench tools fit-fft --data BSDS500/train " in CURVES.read_text()


@pytest.mark.parametrize(("side", "largest", "mean"), [(225, 0.03, 0.01), (64, 0.2, 0.04), (34, 0.3, 0.05)])
@pytest.mark.parametrize("kind", ["blur", "noise", "resolution", "compression"])
def test_one_pixel_or_two_change_little(fft: Estimator, scenes, side: int, largest: float, mean: float, kind: str):
    """No size is a threshold, as the input size of a CLIP is: 223, 224 and 225 px, and around the window's 32."""
    strengths = {**dict.fromkeys(WORST, 0.0), kind: 0.6}
    changes = []
    for index, scene in enumerate(scenes[::2]):
        lr = degrade_by(scene[:, :side, :side], strengths, np.random.default_rng(index))[None]
        whole, less, least = (fft.estimate(lr[..., :size, :size])[0] for size in (side, side - 1, side - 2))
        changes += [(whole - less).abs(), (whole - least).abs()]
    assert torch.stack(changes).max() < largest and torch.stack(changes).mean() < mean


def test_an_image_that_ships_keeps_its_severity(fft: Estimator):
    lr = to_tensor(read_rgb(SAMPLE / "LR/astronaut_medium.png"))
    known = [0.516668, 0.109980, 0.381031, 0.061392, 0.255335, 0.316511, 0.204383]
    assert fft.estimate(lr[None])[0].tolist() == pytest.approx(known, abs=1e-4)


@pytest.mark.parametrize("kind", ["blur", "noise", "resolution", "compression"])
def test_each_degradation_alone_raises_its_own_dimension(fft: Estimator, scenes, kind: str):
    own = DIMENSIONS.index(kind)
    clean, mild, strong = (
        torch.stack([fft.estimate(lr[None])[0] for lr in alone(scenes, kind, strength, 0)])
        for strength in (0.0, 0.4, 0.8)
    )
    assert (strong - clean)[:, own].min() > 0
    assert (mild - clean)[:, own].mean() > 0 and (strong - mild)[:, own].mean() > 0


def test_the_sample_set_rises_with_its_levels(fft: Estimator):
    means = []
    for level in ("mild", "medium", "severe"):
        lrs = [to_tensor(read_rgb(path)) for path in sorted((SAMPLE / "LR").glob(f"*_{level}.png"))]
        means.append(float(fft.estimate(torch.stack(lrs)).mean()))
    assert means[0] + 0.03 < means[1] and means[1] + 0.03 < means[2], means


@pytest.mark.parametrize("size", [(64, 64), (223, 150), (20, 90)])
def test_a_mirrored_or_turned_image_has_the_same_severity(size, fft: Estimator):
    image = noise(1, 3, *size) * 0.5
    for other in (image.transpose(2, 3), image.flip(3), image.flip(2)):
        assert torch.allclose(fft.estimate(image), fft.estimate(other), atol=0.05)


def test_fitting_is_seeded_and_is_what_the_file_holds(scenes, tmp_path: Path):
    recipe = fit.Recipe(draws=8)
    photos = [scene[:, :, :240].repeat_interleave(2, 1).repeat_interleave(2, 2) for scene in scenes[:2]]
    lr, severities = fit.draw_image(photos[0], np.random.default_rng(3))
    assert lr.shape[0] == 3 and min(lr.shape[1:]) >= 64 and severities.shape == (7,)
    known = severities[~severities.isnan()]
    assert len(known) >= 2 and known.min() >= 0 and known.max() <= 1
    curves, losses = fit.fit(photos, recipe)
    assert fit.fit(photos, recipe)[0] == curves != fit.fit(photos, fit.Recipe(draws=8, seed=1))[0]
    assert tuple(losses) == DIMENSIONS
    fit.write_curves(tmp_path / "fft.toml", curves, ["by a test"])
    assert read_curves(tmp_path / "fft.toml") == curves
    FftSeverity(curves)


def test_fitting_to_nothing_is_one_message_and_exit_code_2(tmp_path: Path, caplog, scenes):
    out = tmp_path / "fft.toml"
    assert fit.main(["--data", str(tmp_path), "--out", str(out)]) == 2
    assert "no images in" in caplog.text and not out.exists()
    assert fit.main(["--data", str(tmp_path), "--out", str(out), "--draws", "1"]) == 2
    assert "--draws is 1" in caplog.text


@pytest.mark.skipif(not (SHARED / "data/BSDS500/test").is_dir(), reason="../shared/data/BSDS500 is absent")
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_severity_follows_the_synthetic_level(every: int, tmp_path: Path):
    """On photos of the test split, which was not fitted to: all 200 (slow), and every fourth."""
    for path in sorted((SHARED / "data/BSDS500/test").glob("*.jpg"))[::every]:
        (tmp_path / path.name).symlink_to(path)
    photos = read_images([tmp_path])
    assert level_correlation(get_estimator("fft"), photos, seed=1) >= 0.77
