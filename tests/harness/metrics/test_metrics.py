"""The metric table, PSNR and SSIM against pyiqa and scikit-image, and the scorer's rows."""

import math
import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.harness.api.registry import Registry
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.metrics import fidelity
from isrbench.harness.metrics.builtin import DEFAULT_METRICS, METRICS, PSNR
from isrbench.harness.metrics.scorer import Scorer

WITHOUT_WEIGHTS = ["gmsd", "piqe", "ms_ssim", "vsi"]
WITH_WEIGHTS = ["lpips", "dists", "niqe", "musiq", "maniqa-pipal", "clipiqa", "fid"]
BUILT_IN = ["psnr", "ssim", *WITH_WEIGHTS, *WITHOUT_WEIGHTS]


def picture(seed=0, size=(192, 176)):
    """A smooth random scene and a noisy copy of it, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))
    noisy = np.clip(scene + rng.normal(0, 12, scene.shape), 0, 255).astype(np.uint8)
    return scene, noisy


def awkward_pairs():
    scene, noisy = picture()
    flat = np.full((64, 64, 3), 255, np.uint8)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (40, 256, 3)).copy()
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (2, 50, 61, 3), dtype=np.uint8)
    return {
        "noisy": (noisy, scene),
        "identical": (scene, scene),
        "inverted": (255 - scene, scene),
        "flat": (flat, flat - 1),
        "black on white": (flat * 0, flat),
        "ramp": (ramp, np.flip(ramp, 1).copy()),
        "noise": (noise[0], noise[1]),
        "smallest": (noise[0, :11, :11], noise[1, :11, :11]),
    }


@pytest.fixture
def pngs(tmp_path):
    def write(name, pixels):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


# --- the table


def test_the_built_in_metrics_come_through_entry_points():
    assert set(BUILT_IN) <= set(METRICS)
    assert set(DEFAULT_METRICS) == {"psnr", "ssim", "lpips", "musiq", "clipiqa"}
    for id in BUILT_IN:
        metric = METRICS.get(id)
        assert metric.id == id
        assert metric.citation.startswith("@") and metric.citation.count("{") == metric.citation.count("}")
        assert metric.protocol and metric.colour and metric.title


def test_directions_and_references_agree_with_pyiqa():
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    for id in BUILT_IN:
        metric, theirs = METRICS.get(id), DEFAULT_CONFIGS[id]
        assert (metric.direction is Direction.LOWER) == theirs.get("lower_better", False), id
        if metric.reference is not Reference.SET:
            assert (metric.reference is Reference.FULL) == (theirs["metric_mode"] == "FR"), id


def test_listing_metrics_imports_nothing_heavy():
    heavy = ["torch", "numpy", "PIL", "pyiqa", "scipy", "pandas", "urllib.request"]
    listing = "import sys; from isrbench.harness.metrics.builtin import METRICS; [METRICS.get(m) for m in METRICS]"
    code = f"{listing}; print([h for h in {heavy} if h in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- PSNR and SSIM


@pytest.fixture(scope="module")
def pyiqa():
    import pyiqa

    return pyiqa


def theirs(metric, *images, dtype=torch.float32):
    return float(metric(*(to_tensor(image)[None].to(dtype) for image in images)))


@pytest.mark.parametrize("case", awkward_pairs())
def test_psnr_is_exact_and_pyiqas(case, pyiqa):
    """In float32 pyiqa itself is off by 2e-4 dB on the flat pair, so it is asked for float64 here."""
    restored, reference = awkward_pairs()[case]
    metric = pyiqa.create_metric("psnr", test_y_channel=True, color_space="ycbcr", device="cpu")
    in_float64 = theirs(metric, restored, reference, dtype=torch.float64)
    assert fidelity.psnr(restored, reference) == pytest.approx(in_float64, abs=1e-5)
    weights = (65481, 128553, 24966)
    squares = [
        sum(w * (int(a) - int(b)) for w, a, b in zip(weights, x, y, strict=True)) ** 2
        for x, y in zip(restored.reshape(-1, 3), reference.reshape(-1, 3), strict=True)
    ]
    exact = Fraction(sum(squares), len(squares) * (255 * 255000) ** 2) + Fraction(1, 10**8)
    assert fidelity.psnr(restored, reference) == pytest.approx(-10 * math.log10(exact), abs=1e-10)


@pytest.mark.parametrize("case", awkward_pairs())
def test_ssim_of_the_same_luma_is_pyiqas(case):
    """To 1e-12 with the exact Gaussian; pyiqa's own window is rounded to float32, which moves it by up to 7e-7."""
    from pyiqa.archs.ssim_arch import ssim

    planes = [fidelity._rounded(fidelity._luma(image)) for image in awkward_pairs()[case]]
    tensors = [torch.from_numpy(plane)[None, None] for plane in planes]
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = torch.from_numpy(np.outer(taps, taps) / taps.sum() ** 2)[None, None]
    ours = fidelity.ssim_of_luma(*planes)
    assert ours == pytest.approx(float(ssim(*tensors, win=window, data_range=255)), abs=1e-12)
    assert ours == pytest.approx(float(ssim(*tensors, data_range=255)), abs=1e-6)


@pytest.mark.parametrize("case", awkward_pairs())
def test_ssim_end_to_end_is_pyiqas(case, pyiqa):
    """Y within float32's error of k + 1/2 may round the other way in pyiqa, hence the wider bound."""
    pair = awkward_pairs()[case]
    metric = pyiqa.create_metric("ssim", color_space="ycbcr", device="cpu")
    assert fidelity.ssim(*pair) == pytest.approx(theirs(metric, *pair), abs=1e-5)


def test_ssim_is_scikit_images_where_nothing_is_clipped():
    from skimage.metrics import structural_similarity

    scene, noisy = picture(size=(64, 56))
    x, y = (fidelity._rounded(fidelity._luma(image)) for image in (noisy, scene))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert fidelity.ssim_of_luma(x, y) == pytest.approx(structural_similarity(x, y, **options), abs=1e-9)


def test_the_two_luma_conventions_differ_by_the_gap_that_papers_show(pyiqa):
    scene, noisy = picture()
    yiq = theirs(pyiqa.create_metric("psnr", test_y_channel=True, color_space="yiq", device="cpu"), noisy, scene)
    assert fidelity.psnr(noisy, scene) - yiq == pytest.approx(20 * math.log10(255 / 219), abs=1e-3)


def test_identical_images():
    scene, _ = picture()
    assert fidelity.psnr(scene, scene) == pytest.approx(80)
    assert fidelity.ssim(scene, scene) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", [fidelity.psnr, fidelity.ssim])
def test_shapes_must_agree(metric):
    scene, noisy = picture()
    with pytest.raises(ValueError, match=r"\(192, 176, 3\).*\(191, 176, 3\)"):
        metric(scene, noisy[1:])
    with pytest.raises(ValueError, match="None"):
        metric(scene, None)


def test_ssim_refuses_images_smaller_than_its_window():
    tiny = np.zeros((10, 40, 3), np.uint8)
    with pytest.raises(UserError, match="11 pixels, not 40x10"):
        fidelity.ssim(tiny, tiny)


def test_a_too_small_image_is_a_reason_and_no_traceback(pngs):
    tiny = pngs("tiny.png", np.zeros((10, 40, 3), np.uint8))
    (score,) = Scorer(["ssim"]).score(tiny, tiny)
    assert score.status == "failed" and "at least 11" in score.error and "Traceback" not in score.error


@pytest.mark.parametrize("id", WITHOUT_WEIGHTS)
def test_metrics_without_weights_are_pyiqas(id, pyiqa):
    scene, noisy = picture()
    images = (noisy, scene) if METRICS.get(id).reference is Reference.FULL else (noisy,)
    expected = theirs(pyiqa.create_metric(id, device="cpu"), *images)
    assert METRICS.get(id).build("cpu")(noisy, scene if len(images) == 2 else None) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_is_its_definition():
    from scipy.linalg import sqrtm

    from isrbench.harness.metrics.pyiqa_bridge import frechet_distance

    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(40, 5)), rng.normal(0.5, 2, size=(30, 5)) @ rng.normal(size=(5, 5))
    cov_one, cov_two = np.cov(one, rowvar=False), np.cov(two, rowvar=False)
    shift = one.mean(axis=0) - two.mean(axis=0)
    expected = shift @ shift + np.trace(cov_one + cov_two - 2 * np.real(sqrtm(cov_one @ cov_two)))
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    wide = rng.normal(size=(3, 500))
    assert frechet_distance(wide, wide + 1) == pytest.approx(500, rel=1e-9)


# --- the scorer


def custom(id, compute, **changes):
    """A registry that holds one metric computing ``compute``."""
    registry = Registry("metric", Metric)
    registry.register(id, f"{__name__}:unused")
    registry._loaded[id] = replace(PSNR, id=id, build=lambda device: compute, **changes)
    return registry


def test_scores_are_the_same_for_any_number_of_workers_and_any_order(pngs):
    pairs = []
    for seed in range(6):
        scene, noisy = picture(seed, size=(176, 168))
        pairs.append((pngs(f"sr{seed}.png", noisy), pngs(f"hr{seed}.png", scene)))
    metrics = ["psnr", "ssim", "gmsd", "piqe"]
    one = Scorer(metrics).score_pairs(pairs, workers=1)
    assert [[s.metric for s in row] for row in one] == [metrics] * 6
    assert all(s.status == "ok" and s.error is None for row in one for s in row)
    assert Scorer(metrics).score_pairs(pairs, workers=4) == one
    assert Scorer(metrics[::-1]).score_pairs(pairs[::-1], workers=3) == [row[::-1] for row in one[::-1]]


def test_scoring_leaves_the_callers_threads_alone(pngs):
    scene, noisy = picture()
    files = pngs("sr.png", noisy), pngs("hr.png", scene)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        scorer = Scorer(["gmsd"])
        scorer.score_pairs([files] * 3, workers=3)
        scorer.score(*files)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_without_hr_only_full_reference_metrics_stay_blank(pngs):
    _, noisy = picture()
    psnr, piqe = Scorer(["psnr", "piqe"]).score(pngs("sr.png", noisy), None)
    assert (psnr.status, psnr.value, psnr.error) == ("no-reference", None, None)
    assert piqe.status == "ok" and piqe.value is not None


def test_some_metrics_of_one_image(pngs):
    scene, noisy = picture()
    scores = Scorer(["psnr", "ssim", "piqe", "fid"]).score(pngs("sr.png", noisy), pngs("hr.png", scene), ["ssim"])
    assert [s.metric for s in scores] == ["ssim"]


def test_image_and_set_metrics_are_told_apart():
    scorer = Scorer(["psnr", "fid", "piqe"])
    assert (scorer.image_metrics, scorer.set_metrics) == (("psnr", "piqe"), ("fid",))
    assert scorer.score_set("fid", [Path("a.png")], [None]).status == "no-reference"


def test_an_unreadable_file_fails_only_what_needs_it(pngs, tmp_path):
    scene, noisy = picture()
    broken = tmp_path / "broken.png"
    broken.write_bytes(pngs("whole.png", scene).read_bytes()[:2000])
    psnr, piqe = Scorer(["psnr", "piqe"]).score(pngs("sr.png", noisy), broken)
    assert psnr.status == "failed" and "broken.png" in psnr.error and "Traceback" not in psnr.error
    assert piqe.status == "ok"
    assert {s.status for s in Scorer(["psnr", "piqe"]).score(broken, broken)} == {"failed"}


def test_a_size_mismatch_is_a_row_that_names_both_shapes(pngs):
    scene, noisy = picture()
    (score,) = Scorer(["psnr"]).score(pngs("sr.png", noisy), pngs("hr.png", scene[:-4]))
    assert score.status == "failed" and "(192, 176, 3)" in score.error and "(188, 176, 3)" in score.error


def test_nan_fails_and_infinity_is_kept(pngs):
    scene, noisy = picture()
    files = pngs("sr.png", noisy), pngs("hr.png", scene)
    (nan,) = Scorer(["m"], registry=custom("m", lambda sr, hr: math.nan)).score(*files)
    (infinite,) = Scorer(["m"], registry=custom("m", lambda sr, hr: math.inf)).score(*files)
    assert nan.status == "failed" and nan.value is None and "NaN" in nan.error
    assert infinite.status == "ok" and infinite.value == math.inf


def test_a_black_image_gives_piqe_no_value(pngs):
    (score,) = Scorer(["piqe"]).score(pngs("black.png", np.zeros((64, 64, 3), np.uint8)), None)
    assert score.status == "failed" and score.value is None


def test_a_metric_that_raises_is_a_row_with_its_traceback(pngs):
    def burst(sr, hr):
        raise RuntimeError("burst pipe")

    registry = custom("m", burst)
    registry.register("psnr", "isrbench.harness.metrics.builtin:PSNR")
    scene, noisy = picture()
    failed, ok = Scorer(["m", "psnr"], registry=registry).score(pngs("sr.png", noisy), pngs("hr.png", scene))
    assert failed.status == "failed" and "burst pipe" in failed.error and "Traceback" in failed.error
    assert ok.status == "ok"


def test_a_metric_is_built_once_for_all_threads(pngs):
    built = []

    def build(device):
        built.append(threading.get_ident())
        return lambda sr, hr: 1.0

    registry = custom("m", None)
    registry._loaded["m"] = replace(registry._loaded["m"], build=build)
    scene, noisy = picture()
    files = pngs("sr.png", noisy), pngs("hr.png", scene)
    Scorer(["m"], registry=registry).score_pairs([files] * 8, workers=4)
    assert len(built) == 1


def test_unknown_and_repeated_metrics():
    with pytest.raises(UserError, match="did you mean 'psnr'"):
        Scorer(["pnsr"])
    with pytest.raises(UserError, match="twice"):
        Scorer(["psnr", "ssim", "psnr"])


def test_protocols_name_colour_space_and_weights():
    protocols = Scorer(["psnr", "lpips"]).protocols()
    assert "YCbCr" in protocols["psnr"]["colour"] and protocols["psnr"]["weights"] == {}
    assert set(protocols["lpips"]["weights"]) == {
        "pyiqa/LPIPS_v0.1_alex-df73285e.pth",
        "checkpoints/alexnet-owt-7be5be79.pth",
    }
