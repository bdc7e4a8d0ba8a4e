"""The tiny preset that ships: it fits, it loads without options, and its routing follows degradation."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from harness.cards import find_card
from harness.images import read_rgb, to_tensor
from harness.method import Runtime
from harness.pairs import load_pairs
from methods.lora_moe.plugin import PLUGIN as LORA_MOE
from methods.mor.plugin import PLUGIN as MOR
from methods.onestep.backbone import TINY
from methods.osediff.plugin import PLUGIN as OSEDIFF


@pytest.fixture(scope="module")
def mor():
    return MOR.build(MOR.options(), Runtime())


def routed(method, files):
    """(severity, mean active experts) of each LR image; routing needs no restoration."""
    found = []
    for file in files:
        severity = method.severity.estimate(to_tensor(read_rgb(file))[None])
        method.adapter.route(severity)
        found.append((float(severity.mean()), method.adapter.traces()[0].mean_active))
    return np.array(found)


def test_all_weights_together_stay_small():
    harness = Path(__file__).parent.parent / "harness" / "severity-tiny"
    total = sum(path.stat().st_size for root in (TINY, harness) for path in root.rglob("*") if path.is_file())
    assert total < 30e6


@pytest.mark.parametrize("plugin", [MOR, OSEDIFF, LORA_MOE], ids=lambda p: p.info.id)
def test_methods_need_no_option(plugin):
    method = plugin.build(plugin.options(), Runtime())
    lr = to_tensor(read_rgb(load_pairs(find_card("sample"))[0].lr))[:, :24, :24]
    restored = method.restore(lr, image="x", seed=0)
    assert restored.image.shape == (3, 96, 96)
    assert (restored.trace is None) == (plugin is OSEDIFF)


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
