"""The benches of training steps and of inference, and the count of memory behind both. No time is asserted."""

import gc
import json

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.options import read_options
from isrbench.harness.api.registry import methods
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.load import build_models
from isrbench.methods.onestep.base.tiny import UNET_CONFIG, VAE_CONFIG
from isrbench.methods.studies import bench_inference, bench_options, bench_training
from isrbench.methods.studies.random_base import SPECS, write_random_sd21
from isrbench.methods.studies.tensor_peak import TensorPeak
from tests.support.training_world import light, statistics  # noqa: F401


@pytest.mark.slow
def test_three_unets_hold_two_unets_more_than_one(tmp_path, caplog):
    """At this size adapters, heads and optimizer states weigh as much as a UNet; at SD 2.1 size, next to nothing."""
    caplog.set_level("INFO", logger="isrbench.methods.studies.bench_training")
    out = tmp_path / "costs.json"
    argv = ["--size", "tiny", "--crop", "32", "--batch", "1", "--rounds", "1", "--out", str(out)]
    assert bench_training.main(argv, statistics) == 0
    costs = {cost["candidate"]: cost for cost in json.loads(out.read_text())["costs"]}
    assert tuple(costs) == bench_training.CANDIDATES == ("osediff", "mor", "osediff, 3 UNets")
    assert all(f"\n{name:<18} " in caplog.text or f" {name:<18} " in caplog.text for name in costs)
    unet = build_models(VAE_CONFIG, UNET_CONFIG)[1]
    two = 2 * 4 * sum(parameter.numel() for parameter in unet.parameters()) / 2**20
    held = {name: cost["held_mib"] for name, cost in costs.items()}
    assert held["osediff, 3 UNets"] - held["osediff"] == pytest.approx(two, rel=1e-3)
    assert held["osediff, 3 UNets"] > 1.5 * held["osediff"] and held["mor"] > held["osediff"]
    for cost in costs.values():
        assert cost["peak_mib"] > cost["held_mib"] > 0 and cost["median_ms"] > 0
    assert costs["osediff"]["ratio"] == 1.0


def test_inference_candidates_cost_what_they_should(tmp_path):
    out = tmp_path / "costs.json"
    assert bench_inference.main(["--pixels", "32", "--rounds", "1", "--rank", "16", "--out", str(out)]) == 0
    costs = {cost["candidate"]: cost for cost in json.loads(out.read_text())["costs"]}
    macs = {name: cost["gmacs"] for name, cost in costs.items()}
    assert set(costs) == {
        "base", "mor folded", "mor gathered", "mor masked", "lora r16 merged", "lora r16 unmerged"
    }  # fmt: skip
    assert macs["base"] == macs["lora r16 merged"] < macs["mor gathered"] < macs["mor masked"]
    assert macs["mor gathered"] <= macs["lora r16 unmerged"] and macs["base"] < macs["mor folded"]
    assert costs["base"]["to_base"] == costs["lora r16 merged"]["to_merged"] == 1.0
    assert costs["mor folded"]["peak_mib"] > costs["base"]["peak_mib"] > 0


def test_options_stand_beside_the_plain_method(tmp_path, monkeypatch, caplog):
    """Without the arms that compile, which take minutes."""
    caplog.set_level("INFO", logger="isrbench.methods.studies.bench_options")
    quick = {name: own for name, own in bench_options.arms("bf16").items() if "compile" not in own}
    monkeypatch.setattr(bench_options, "arms", lambda dtype: quick)
    assert list(quick) == ["plain", "channels_last", "bf16"]
    given = ["--method", "osediff", "-o", "process_size=0", "-o", "truncate=false", "--pixels", "16", "--rounds", "1"]
    assert bench_options.main([*given, "--out", str(tmp_path / "costs.json")]) == 0
    rows = {row.split()[0]: [float(n) for n in row.split()[1:]] for row in caplog.messages[1:]}
    assert [arm["name"] for arm in json.loads((tmp_path / "costs.json").read_text())["costs"]] == list(rows)
    assert list(rows) == list(quick) and rows["plain"][2:] == [1.0, 0.0]
    assert rows["bf16"][3] > rows["channels_last"][3] and min(row[1] for row in rows.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", SPECS)
def test_random_weights_of_full_size_are_what_the_method_loads(tmp_path, method):
    """Four gigabytes, so no image is restored."""
    texts = write_random_sd21(method, tmp_path)
    plugin = methods().get(method)
    built = plugin.make(read_options(plugin, texts), Runtime(4, "cpu"))
    assert sum(weight.numel() for weight in built.base.unet.parameters()) > 865e6


def test_random_weights_of_another_family_are_refused(tmp_path):
    with pytest.raises(UserError, match="no random weights are drawn for spandrel"):
        write_random_sd21("spandrel", tmp_path)


def test_peak_counts_what_is_alive_at_once():
    known = torch.zeros(1000)
    with TensorPeak([known]) as watch:
        first = known + 1  # 4000 bytes
        view = first[:10]
        assert watch.now == watch.peak == 4000
        known.add_(first)
        assert watch.now == 4000, "what is written in place is not new"
        second = torch.ones(500, dtype=torch.float64)
        assert watch.now == watch.peak == 8000
        del first, second
        gc.collect()
        assert watch.now == 4000, "a view keeps its storage"
        del view
        gc.collect()
        assert watch.now == 0
        third = torch.ones(1500)
    assert watch.peak == 8000 and third.sum() == 1500
