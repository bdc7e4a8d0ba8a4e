"""What training programs put around a network comes off, and an unknown one is shown by its first names."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

from isrbench.harness.api.checkpoints import first_keys, networks, without_wrappers

NET = {"conv.weight": torch.zeros(1), "body.0.bias": torch.zeros(1)}


def under(prefix, state=NET):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (under("module."), "module."),
        (under("_orig_mod."), "_orig_mod."),
        (under("module._orig_mod."), "module._orig_mod."),
        (under("net_g."), "net_g."),
        ({"state_dict": under("generator.")}, "state_dict/generator."),
        ({"epoch": 3, "state_dict": under("model.") | {"loss.vgg.x.w": torch.zeros(2)}}, "state_dict/model."),
        ({"params_ema": under("module.")}, "params_ema/module."),
        ({"params": NET, "params_ema": dict(NET)}, "params_ema/"),
        ({"n_averaged": torch.tensor(5), **under("module.")}, "module."),
        ({"state_dict": under("generator.") | under("generator_ema.")}, "state_dict/generator_ema."),
        ({"model": {"net_g": OrderedDict(under("module."))}}, "model/net_g/module."),
        (under("odd_name."), "odd_name."),
    ],
)  # fmt: skip
def test_what_training_puts_around_a_network_comes_off(content, taken):
    found = dict(networks(content))
    assert taken in found and set(found[taken]) == set(NET)


def test_deep_and_plain_contents_end():
    deep: dict = {"a": torch.zeros(1)}
    for _ in range(2000):
        deep = {"params": deep}
    assert list(networks({"epoch": 1})) == [] and len(list(networks(deep))) < 10
    assert first_keys(deep)
    assert without_wrappers(under("module.module.")).keys() == NET.keys()
    assert without_wrappers(under("model.")).keys() == under("model.").keys(), "a network may have a part of this name"


def test_first_names_are_fit_for_a_terminal():
    names = {f"layer{n}\x1b[31m.weight": torch.zeros(1) for n in range(9)}
    said = first_keys({"state_dict": names})
    assert said.startswith("state_dict/layer0?[31m.weight, ") and said.endswith("... (9 in all)") and said.isprintable()
    assert first_keys({"epoch": 1, "lr": 2}) == "no tensor at all, but epoch, lr" and first_keys({}) == "nothing"
