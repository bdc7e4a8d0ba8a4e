"""Checkpoints as training programs write them: the network is found in them, or the first names are shown."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_tensor
from isrbench.methods.spandrel import network
from isrbench.methods.spandrel.options import SpandrelOptions
from tests.support.images import noise_image


@pytest.fixture(scope="module")
def state():
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    return Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=4).state_dict()


def load(path):
    return network.load(SpandrelOptions(weights=path), Runtime(4))


def under(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other(state):
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


WRAPPED = {
    "mmagic": lambda s: {"meta": {"epoch": 1}, "state_dict": under("generator.", s)},
    "mmagic with a running mean": lambda s: {
        "state_dict": under("generator.", other(s))
        | under("generator_ema.module.", s)
        | {"step_counter": torch.ones(1)}
    },
    "Lightning": lambda s: {"epoch": 1, "state_dict": under("model.", s) | {"lpips.w": torch.ones(2)}},
    "compiled": lambda s: under("_orig_mod.", s),
    "compiled in processes": lambda s: {"params": under("module._orig_mod.", s)},
    "a mean's own count": lambda s: {"n_averaged": torch.tensor(7), **under("module.", s)},
    "a GAN": lambda s: {"net_d": other(s), "net_g": s, "optimizer_g": {"state": {0: {"step": torch.ones(1)}}}},
    "flat": lambda s: under("params_ema.", s) | under("params.", other(s)),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_network_is_found_in_what_training_wrote(name, state, tmp_path):
    torch.save(state, tmp_path / "plain.pth")
    torch.save(WRAPPED[name](state), tmp_path / "wrapped.pth")
    lr = to_tensor(noise_image(9, 7))
    plain, wrapped = (load(tmp_path / f"{n}.pth").restore(lr, image="a", seed=0).image for n in ("plain", "wrapped"))
    assert torch.equal(plain, wrapped) and plain.std() > 0.01


def test_a_file_of_several_networks_says_which_was_taken(state, tmp_path, caplog):
    torch.save({"state_dict": under("generator.", other(state)) | under("generator_ema.", state)}, tmp_path / "net.pth")
    load(tmp_path / "net.pth")
    assert "the network in 'state_dict/generator_ema.' is taken; there are also 'state_dict/generator.'" in caplog.text
    caplog.clear()
    torch.save({"state_dict": under("module.model.", state)}, tmp_path / "net.pth")
    load(tmp_path / "net.pth")
    assert not caplog.records


def test_the_first_names_of_an_unknown_network_are_shown(state, tmp_path):
    torch.save({"state_dict": {f"stem.{n}.w": torch.zeros(2) for n in range(5)}}, tmp_path / "net.pth")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "net.pth")
    assert caught.value.message.endswith(
        "holds no network that spandrel knows; its first names: state_dict/stem.0.w, state_dict/stem.1.w, "
        "state_dict/stem.2.w, state_dict/stem.3.w, ... (5 in all)"
    )
    assert "Compact" in caught.value.fix and "pip install spandrel_extra_arches" in caught.value.fix
    torch.save({"state_dict": under("net_g.", dict(list(state.items())[:-1]))}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"is incomplete or damaged: what lies in 'state_dict/net_g\.': "):
        load(tmp_path / "net.pth")
    torch.save({**state, "body.0.weight": torch.zeros(8, 3, 5, 5)}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"is incomplete or damaged: .*size mismatch for body\.0\.weight"):
        load(tmp_path / "net.pth")
    torch.save({1: torch.zeros(2), None: 3, b"x": 1}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"its first names: 1\n"):
        load(tmp_path / "net.pth")


def test_further_architectures_are_asked_where_they_are_installed(monkeypatch, tmp_path):
    asked = []
    module = SimpleNamespace(install=lambda *, ignore_duplicates: asked.append(ignore_duplicates))
    monkeypatch.setitem(sys.modules, "spandrel_extra_arches", module)
    network.ask_extra_architectures.cache_clear()
    torch.save({"stem.w": torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "net.pth")
    network.ask_extra_architectures.cache_clear()
    assert asked == [True] and "spandrel_extra_arches" not in caught.value.fix
