"""The tiny preset that ships: it fits, it loads without options, and its routing follows degradation."""

import re

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from isrbench.harness.api.method import Labeled, Runtime
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.degradation.pipeline import degrade
from isrbench.harness.degradation.presets import LEVELS, at_level
from isrbench.harness.imaging.images import read_rgb, to_pixels, to_tensor
from isrbench.harness.imaging.photos import read_photo
from isrbench.harness.metrics import pyiqa_bridge as iqa
from isrbench.harness.metrics.fidelity import psnr
from isrbench.methods.lora_moe.plugin import PLUGIN as LORA_MOE
from isrbench.methods.mor.plugin import PLUGIN as MOR
from isrbench.methods.onestep.base.load import TINY
from isrbench.methods.onestep.train.data import find_images, random_crop, stack
from isrbench.methods.onestep.train.draws import stream
from isrbench.methods.osediff.plugin import PLUGIN as OSEDIFF
from tests.support.cli import isrbench
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def mor():
    return MOR.make(MOR.options(), Runtime())


@pytest.fixture(scope="module")
def base():
    """MoR with its adapter off: what every claim about the adapter is measured against."""
    return MOR.make(MOR.options(adapter_off=True), Runtime())


def routed(method, files):
    """(severity, mean active experts) of each LR image; routing needs no restoration."""
    found = []
    for file in files:
        severity = method.estimator.estimate(to_tensor(read_rgb(file))[None])
        method.adapter.route(severity)
        found.append((float(severity.mean()), method.adapter.traces()[0].mean_active))
    return np.array(found)


def test_all_weights_together_stay_small():
    harness = ROOT / "harness" / "severity" / "tiny"
    total = sum(path.stat().st_size for root in (TINY, harness) for path in root.rglob("*") if path.is_file())
    assert total < 30e6


@pytest.mark.parametrize("plugin", [MOR, OSEDIFF, LORA_MOE], ids=lambda p: p.info.id)
def test_methods_need_no_option(plugin):
    method = plugin.make(plugin.options(), Runtime())
    assert method.colour_fix == "wavelet" and method.variant == "tiny" and isinstance(method, Labeled)
    lr = to_tensor(read_rgb(load_pairs(find_card("sample"))[0].lr))[:, :24, :24]
    restored = method.restore(lr, image="x", seed=0)
    assert restored.image.shape == (3, 96, 96)
    assert (restored.trace is None) == (plugin is OSEDIFF)


def means(text: str) -> dict[str, float]:
    """The means in a table as ``isrbench eval`` prints it, by the row's name."""
    rows = re.findall(r"^ *(\S.*?)  +([0-9.]+)(?: dB)?  +24\b", text, re.MULTILINE)
    return {name: float(mean) for name, mean in rows}


@pytest.mark.slow
def test_the_readme_prints_what_its_first_command_prints(tmp_path, capsys):
    """To 0.01: processors round differently, and a near tie may turn one of an image's thousands of experts."""
    code, out, _ = isrbench(
        capsys, "eval", "--method", "mor", "--dataset", "sample", "--metrics", "psnr,ssim", "--runs-dir", tmp_path,
        "--no-report",
    )  # fmt: skip
    printed, ours = means((ROOT / "README.md").read_text()), means(out)
    assert code == 0 and set(printed) == {"PSNR ↑", "SSIM ↑", "severity (LR)", "active experts"}
    assert {name: ours[name] for name in printed} == pytest.approx(printed, abs=0.01)


def test_routing_follows_degradation_on_the_sample_set(mor):
    pairs = load_pairs(find_card("sample"))
    found = routed(mor, [pair.lr for pair in pairs])
    test = spearmanr(*found.T)
    assert test.statistic >= 0.5 and test.pvalue < 0.01
    levels = np.array([pair.id.rpartition("_")[2] for pair in pairs])
    mild, medium, severe = (found[levels == level, 1].mean() for level in ("mild", "medium", "severe"))
    assert mild < medium < severe


def test_routing_follows_degradation_on_realsr(mor, realsr):
    found = routed(mor, sorted((realsr / "test_LR").iterdir()))
    test = spearmanr(*found.T)
    assert len(found) == 100 and test.statistic >= 0.5 and test.pvalue < 0.01


def scores_of(method, pairs, score):
    """Mean score of a method over (LR tensor, HR pixels) pairs."""
    restored = (to_pixels(method.restore(lr, image=str(n), seed=n).image) for n, (lr, _) in enumerate(pairs))
    return np.mean([score(sr, hr) for sr, (_, hr) in zip(restored, pairs, strict=True)], axis=0)


def bicubic_scores(pairs, score):
    enlarged = (
        np.array(Image.fromarray(to_pixels(lr)).resize(hr.shape[1::-1], Image.Resampling.BICUBIC)) for lr, hr in pairs
    )
    return np.mean([score(sr, hr) for sr, (_, hr) in zip(enlarged, pairs, strict=True)], axis=0)


@pytest.mark.slow
def test_on_realsr_texture_is_gained_for_little_fidelity_by_the_base(mor, base, realsr):
    """The base's gain, not MoR's: the same with the adapter off. The adapter must not spoil it.

    Two dB is what a one-step method may pay for texture; OSEDiff's published images pay 1.96.
    """
    files = sorted((realsr / "test_LR").iterdir())
    pairs = [(to_tensor(read_rgb(file)), read_rgb(realsr / "test_HR" / file.name)) for file in files]
    metric, piqe = iqa.image_metric("cpu", name="gmsd"), iqa.image_metric("cpu", name="piqe", one_at_a_time=True)

    def score(sr, hr):
        return psnr(sr, hr), metric(sr, hr, None), piqe(sr, None, None)

    ours, off, bicubic = scores_of(mor, pairs, score), scores_of(base, pairs, score), bicubic_scores(pairs, score)
    assert len(files) == 100
    assert min(ours[0], off[0]) > bicubic[0] - 2
    assert max(ours[1], off[1]) <= bicubic[1]
    assert max(ours[2], off[2]) <= 60 < bicubic[2]


@pytest.mark.parametrize(("every", "side"), [(20, 96), pytest.param(1, 192, marks=pytest.mark.slow)])
def test_on_severely_degraded_crops_the_gain_is_the_bases(mor, base, bsds_test, every, side):
    """Of every photo (slow), or of every twentieth in the base's own size, 96 px: the adapter changes little."""
    paths = find_images([bsds_test])[::every]
    crops = [random_crop(read_photo(path), side, stream(31, n)) for n, path in enumerate(paths)]
    lr = degrade(stack(crops), at_level(LEVELS["severe"]), range(len(crops)))
    pairs = list(zip(lr, crops, strict=True))
    ours, off, bicubic = scores_of(mor, pairs, psnr), scores_of(base, pairs, psnr), bicubic_scores(pairs, psnr)
    assert len(crops) == 200 // every and off >= bicubic + 0.5
    assert abs(ours - off) < 0.15
