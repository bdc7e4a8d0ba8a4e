"""The scorer: one score a metric whatever goes wrong, the same for any order and number of threads."""

import math
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.api.metric import Metric, Reference
from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import Registry
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import hr_hash, lr_hash, read_rgb
from isrbench.harness.metrics.builtin import PSNR
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.metrics.sets import METRIC_SETS
from tests.support.images import make_scene, write_pairs

BUILT: list[int] = []


def build_burst(device: str):
    def burst(restored, hr, lr):
        raise RuntimeError("burst pipe")

    return burst


def build_counted(device: str):
    BUILT.append(threading.get_ident())
    return lambda restored, hr, lr: 1.0


def build_nothing(device: str):
    raise RuntimeError("no such chip")


NAN = replace(PSNR, id="nan", build=lambda device: lambda restored, hr, lr: math.nan)
INFINITE = replace(PSNR, id="infinite", build=lambda device: lambda restored, hr, lr: math.inf)
BURST = replace(PSNR, id="burst", build=build_burst)
COUNTED = replace(PSNR, id="counted", build=build_counted)
UNBUILT = replace(PSNR, id="unbuilt", build=build_nothing)
BURST_WHEN_SMALL = replace(BURST, id="burst_when_small", min_side=32)
NAN_WHEN_SMALL = replace(NAN, id="nan_when_small", min_side=32)
SET_OF_SIZES = replace(
    PSNR, id="set_of_sizes", reference=Reference.SET,
    build=lambda device: lambda restored, hr: float(sum(read_rgb(path).shape[0] for path in hr)),
)  # fmt: skip
SIZES = replace(PSNR, id="sizes", uses_lr=True, build=lambda device: lambda restored, hr, lr: float(lr.shape[1]))


@pytest.fixture
def own_metrics() -> Registry[Metric]:
    """This file's metrics, and PSNR."""
    registry = Registry("metric", Metric)
    registry.register("psnr", "isrbench.harness.metrics.builtin:PSNR")
    for name in ("nan", "infinite", "burst", "counted", "unbuilt", "sizes"):
        registry.register(name, f"{__name__}:{name.upper()}")
    for name in ("burst_when_small", "nan_when_small", "set_of_sizes"):
        registry.register(name, f"{__name__}:{name.upper()}")
    return registry


@pytest.fixture
def pngs(tmp_path):
    def write(name, pixels):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def files(pngs) -> tuple[Path, Path]:
    """A restored image and its HR image."""
    scene, noisy = make_scene()
    return pngs("sr.png", noisy), pngs("hr.png", scene)


def test_a_too_small_image_is_a_reason_and_no_traceback(pngs):
    tiny = pngs("tiny.png", np.zeros((10, 40, 3), np.uint8))
    (score,) = Scorer(["ssim"]).score(tiny, tiny)
    assert score.status is ScoreStatus.FAILED and score.failure is not None
    assert "at least 11" in score.failure.message and score.failure.fix and not score.failure.traceback


def test_scores_are_the_same_for_any_number_of_workers_and_any_order(pngs):
    pairs = []
    for seed in range(6):
        scene, noisy = make_scene(seed, 176, 168)
        pairs.append((pngs(f"sr{seed}.png", noisy), pngs(f"hr{seed}.png", scene)))
    metrics = ["psnr", "ssim", "gmsd", "piqe"]
    one = Scorer(metrics).score_pairs(pairs, workers=1)
    assert [[s.metric for s in row] for row in one] == [metrics] * 6
    assert all(s.status is ScoreStatus.OK and s.failure is None for row in one for s in row)
    assert Scorer(metrics).score_pairs(pairs, workers=4) == one
    assert Scorer(metrics[::-1]).score_pairs(pairs[::-1], workers=3) == [row[::-1] for row in one[::-1]]


def test_scoring_leaves_the_callers_threads_alone(pngs):
    scene, noisy = make_scene()
    files = pngs("sr.png", noisy), pngs("hr.png", scene)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        scorer = Scorer(["piqe"])
        scorer.score_pairs([files] * 3, workers=3)
        scorer.score(*files)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_without_hr_only_full_reference_metrics_stay_blank(pngs):
    _, noisy = make_scene()
    psnr, piqe = Scorer(["psnr", "piqe"]).score(pngs("sr.png", noisy), None)
    assert (psnr.status, psnr.value, psnr.failure) == (ScoreStatus.NO_REFERENCE, None, None)
    assert piqe.status is ScoreStatus.OK and piqe.value is not None


def test_some_metrics_of_one_image(pngs):
    scene, noisy = make_scene()
    scores = Scorer(["psnr", "ssim", "piqe", "fid"]).score(pngs("sr.png", noisy), pngs("hr.png", scene), ["ssim"])
    assert [s.metric for s in scores] == ["ssim"]


def test_pixels_in_memory_score_as_their_files(pngs, own_metrics):
    scene, noisy = make_scene()
    scorer = Scorer(["psnr", "sizes", "burst"], registry=own_metrics)
    files = scorer.score(pngs("noisy.png", noisy), pngs("scene.png", scene), lr=pngs("lr.png", noisy[:48, :44]))
    pixels = scorer.score_pixels(noisy, scene, noisy[:48, :44])
    values = [(score.metric, score.value, score.status) for score in pixels]
    assert values == [(score.metric, score.value, score.status) for score in files]
    assert [value for _, value, _ in values][1:] == [44, None]
    assert scorer.score_pixels(noisy, None)[0].status is ScoreStatus.NO_REFERENCE


def test_image_and_set_metrics_are_told_apart():
    scorer = Scorer(["psnr", "fid", "piqe"])
    assert (scorer.image_metrics, scorer.set_metrics) == (("psnr", "piqe"), ("fid",))
    assert scorer.score_set("fid", [Path("a.png")], [None]).status is ScoreStatus.NO_REFERENCE


def test_an_unreadable_file_fails_only_what_needs_it(pngs, tmp_path):
    scene, noisy = make_scene()
    broken = tmp_path / "broken.png"
    broken.write_bytes(pngs("whole.png", scene).read_bytes()[:2000])
    psnr, piqe = Scorer(["psnr", "piqe"]).score(pngs("sr.png", noisy), broken)
    assert psnr.status is ScoreStatus.FAILED and psnr.failure is not None
    assert "broken.png" in psnr.failure.message and psnr.failure.fix and not psnr.failure.traceback
    assert piqe.status is ScoreStatus.OK
    assert {s.status for s in Scorer(["psnr", "piqe"]).score(broken, broken)} == {ScoreStatus.FAILED}


def test_a_size_mismatch_is_a_row_that_names_both_shapes(pngs):
    scene, noisy = make_scene()
    (score,) = Scorer(["psnr"]).score(pngs("sr.png", noisy), pngs("hr.png", scene[:-4]))
    assert score.status is ScoreStatus.FAILED and score.failure is not None
    assert "(192, 176, 3)" in score.failure.message and "(188, 176, 3)" in score.failure.message


def test_nan_fails_and_infinity_is_kept(files, own_metrics):
    nan, infinite = Scorer(["nan", "infinite"], registry=own_metrics).score(*files)
    assert nan.status is ScoreStatus.FAILED and nan.value is None
    assert nan.failure is not None and "nan gave NaN" in nan.failure.message and nan.failure.fix
    assert infinite.status is ScoreStatus.OK and infinite.value == math.inf


def test_a_black_image_gives_piqe_no_value(pngs):
    (score,) = Scorer(["piqe"]).score(pngs("black.png", np.zeros((64, 64, 3), np.uint8)), None)
    assert score.status is ScoreStatus.FAILED and score.value is None


def test_a_metric_that_raises_fails_alone_with_its_traceback(files, own_metrics):
    burst, unbuilt, psnr = Scorer(["burst", "unbuilt", "psnr"], registry=own_metrics).score(*files)
    for score, words in (
        (burst, "RuntimeError: burst pipe"),
        (unbuilt, "unbuilt cannot be built: RuntimeError: no such"),
    ):
        assert score.status is ScoreStatus.FAILED and score.failure is not None
        assert words in score.failure.message and score.failure.brief == score.failure.message
        assert "Traceback" in score.failure.traceback and "test_scorer.py" in score.failure.traceback
    assert psnr.status is ScoreStatus.OK
    assert list(Scorer(["unbuilt", "psnr"], registry=own_metrics).lacking()) == ["unbuilt"]


def test_a_metric_is_built_once_for_all_threads(files, own_metrics):
    BUILT.clear()
    Scorer(["counted"], registry=own_metrics).score_pairs([files] * 8, workers=4)
    assert len(BUILT) == 1


def test_only_metrics_that_ask_for_it_see_the_lr(files, pngs, own_metrics):
    lr = pngs("lr.png", np.zeros((48, 44, 3), np.uint8))
    sizes, psnr = Scorer(["sizes", "psnr"], registry=own_metrics).score(*files, lr=lr)
    assert (sizes.value, psnr.status) == (44.0, ScoreStatus.OK)


def test_an_image_that_has_changed_since_its_check_fails_what_reads_it(files, pngs, own_metrics):
    lr = pngs("lr.png", np.zeros((48, 44, 3), np.uint8))
    hashes = {"hr_hash": hr_hash(read_rgb(files[1])), "lr_hash": lr_hash(read_rgb(lr))}
    scorer = Scorer(["sizes", "psnr"], registry=own_metrics)
    assert {s.status for s in scorer.score(*files, lr=lr, **hashes)} == {ScoreStatus.OK}
    pngs("lr.png", np.ones((48, 44, 3), np.uint8))
    sizes, psnr = scorer.score(*files, lr=lr, **hashes)
    assert psnr.status is ScoreStatus.OK and sizes.status is ScoreStatus.FAILED
    assert sizes.failure is not None and "lr.png has changed since it was checked" in sizes.failure.message
    pngs("hr.png", make_scene(1)[0])
    assert scorer.score(*files, ["psnr"], **hashes)[0].status is ScoreStatus.FAILED


def test_unknown_and_repeated_metrics():
    with pytest.raises(UserError, match="did you mean 'psnr'"):
        Scorer(["pnsr"])
    with pytest.raises(UserError, match="twice"):
        Scorer(["psnr", "ssim", "psnr"])
    assert Scorer(["@free", "fid"]).image_metrics == METRIC_SETS["@free"]


def test_definitions_name_colour_space_weights_and_version():
    scorer = Scorer(["psnr", "lpips"])
    psnr, lpips = scorer.definitions().values()
    assert "YCbCr" in psnr.colour and psnr.weights == {} and "border 0" in psnr.definition
    assert set(lpips.weights) == {"pyiqa/LPIPS_v0.1_alex-df73285e.pth", "checkpoints/alexnet-owt-7be5be79.pth"}
    version = scorer.version("lpips")
    assert (lpips.code, lpips.weights_version) == (version.code, version.weights)


def test_a_metric_of_the_set_refuses_another_hr_image(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a"])
    png = tmp_path / "HR" / "a.png"
    score = Scorer(["fid"]).score_set("fid", [png], [png], ["0" * 64])
    assert score.status is ScoreStatus.FAILED and score.failure is not None
    assert f"{png} has changed since it was checked" in score.failure.message
    pair = Scorer(["psnr"]).score(png, png, hr_hash="0" * 64)[0]
    assert pair.failure == score.failure


def test_a_scorer_of_further_metrics_shares_what_is_built(tmp_path: Path) -> None:
    write_pairs(tmp_path, ["a"])
    first = Scorer(["psnr"])
    more = first.extended(["gmsd"])
    assert more.ids == ("psnr", "gmsd") and first.ids == ("psnr",)
    assert [s.metric for s in more.score(tmp_path / "HR" / "a.png", tmp_path / "HR" / "a.png")] == ["psnr", "gmsd"]


@pytest.mark.parametrize("side", [1, 2, 5, 8, 12, 40])
def test_of_a_tiny_image_each_metric_without_weights_has_a_value_or_one_plain_line(side, pngs):
    files = [pngs(f"{name}.png", make_scene(n, side, side)[0]) for n, name in enumerate(("sr", "hr"))]
    lr = pngs("lr.png", make_scene(2, max(1, side // 4), max(1, side // 4))[0])
    scores = Scorer(METRIC_SETS["@free"]).score(*files, lr=lr if side >= 4 else files[0])
    for score in scores:
        message = score.failure.message if score.failure else ""
        assert (
            score.status is ScoreStatus.OK or "needs sides of" in message or "cut off" in message or "NaN" in message
        ), score
        assert score.failure is None or (score.failure.fix and not score.failure.traceback)


def test_below_a_metrics_least_side_that_is_the_reason_and_above_it_its_own(own_metrics, pngs):
    small, large = pngs("small.png", make_scene(0, 16, 40)[0]), pngs("large.png", make_scene(0, 40, 40)[0])
    scorer = Scorer(["burst_when_small", "nan_when_small", "psnr"], registry=own_metrics)
    burst, nan, psnr = scorer.score(small, small)
    for score in (burst, nan):
        assert score.failure.message == f"{score.metric} needs sides of 32 pixels or more, and the image is 40x16"
        assert score.failure.fix and not score.failure.traceback
    assert psnr.value == 80
    assert [
        "burst pipe" in s.failure.message or "NaN" in s.failure.message for s in scorer.score(large, large)[:2]
    ] == [True] * 2


def test_a_metric_of_the_set_sees_the_hr_images_as_they_were_cut(own_metrics, pngs):
    scene = make_scene(0, 83, 62)[0]
    hr, exact = pngs("hr.png", scene), pngs("exact.png", scene[:80, :60])
    hashes = [hr_hash(scene[:80, :60])] * 2
    scorer = Scorer(["set_of_sizes"], registry=own_metrics)
    assert scorer.score_set("set_of_sizes", [exact] * 2, [hr, exact], hashes, [(80, 60), None]).value == 160
    refused = scorer.score_set("set_of_sizes", [exact], [hr], [hr_hash(scene)], [(80, 60)])
    assert refused.status is ScoreStatus.FAILED and "has changed" in refused.failure.message
