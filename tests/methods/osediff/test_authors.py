"""Import of the authors' `osediff.pkl`: a good one exactly, a bad one with one message."""

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.base.targets import unet_targets, vae_targets
from isrbench.methods.osediff.adapter import DenseConfig, attach, unet_group
from isrbench.methods.osediff.authors import read
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401


def authors_checkpoint(vae, unet, rank=3):
    """A dict in exactly the published layout, with random values."""
    names = unet_targets(unet)
    groups = {g: [n for n in names if unet_group(n) == g] for g in ("encoder", "decoder", "others")}

    def lora(model, modules, adapter):
        state = {}
        for name in modules:
            weight = model.get_submodule(name).weight
            kernel = weight.shape[2:]
            state[f"{name}.lora_A.{adapter}.weight"] = torch.randn(rank, *weight.shape[1:]) * 0.05
            state[f"{name}.lora_B.{adapter}.weight"] = torch.randn(weight.shape[0], rank, *(1 for _ in kernel)) * 0.05
        return state

    state_unet = {}
    for group, modules in groups.items():
        state_unet |= lora(unet, modules, f"default_{group}")
    state_unet["conv_in.base_layer.weight"] = unet.conv_in.weight.detach() + 0.1
    state_unet["conv_in.base_layer.bias"] = unet.conv_in.bias.detach() - 0.2
    return {
        "vae_lora_encoder_modules": vae_targets(vae),
        **{f"unet_lora_{group}_modules": modules for group, modules in groups.items()},
        "rank_unet": rank,
        "rank_vae": rank,
        "state_dict_unet": state_unet,
        "state_dict_vae": lora(vae, vae_targets(vae), "default_encoder"),
    }


def reference(vae, unet, checkpoint):
    """Add (8 / r) B A to the plain weights by hand."""
    for model, state in ((unet, checkpoint["state_dict_unet"]), (vae, checkpoint["state_dict_vae"])):
        for name, tensor in state.items():
            if "lora_A" in name:
                module = name.partition(".lora_A")[0]
                b = state[name.replace("lora_A", "lora_B")].flatten(1)
                weight = model.get_submodule(module).weight
                weight.data = weight + 8 / tensor.shape[0] * (b @ tensor.flatten(1)).view_as(weight)
    unet.conv_in.weight.data += 0.1
    unet.conv_in.bias.data -= 0.2


def test_authors_checkpoint_is_imported_exactly(tmp_path):
    base = load_base(str(write_base(tmp_path / "base")))
    content = authors_checkpoint(base.vae, base.unet)
    torch.save(content, tmp_path / "osediff.pkl")
    checkpoint = read(tmp_path / "osediff.pkl", base)
    adapter = attach(base.unet, base.vae, DenseConfig.from_json(checkpoint.config), 0)
    adapter.load_state_dict(checkpoint.state)
    vae, unet = models()
    reference(vae, unet, content)
    z, c, x = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 8), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        for _ in range(2):
            ours = base.unet(z, 999, encoder_hidden_states=c).sample
            assert torch.allclose(ours, unet(z, 999, encoder_hidden_states=c).sample, atol=2e-4, rtol=1e-4)
            moments = base.vae.encode(x).latent_dist.parameters
            assert torch.allclose(moments, vae.encode(x).latent_dist.parameters, atol=2e-4, rtol=1e-4)
            adapter.for_inference()


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_bad_authors_checkpoints_are_refused(tmp_path, capsys):
    base = load_base(str(write_base(tmp_path / "base")))
    path = tmp_path / "osediff.pkl"
    good = authors_checkpoint(base.vae, base.unet)
    bad = {
        "holds more than weights": {**good, "rank_unet": Evil()},
        "has no 'rank_vae'": {k: v for k, v in good.items() if k != "rank_vae"},
        "another base": {**good, "unet_lora_encoder_modules": ["down_blocks.7.conv1"]},
        "unexpected tensor": {**good, "state_dict_vae": {"surprise": torch.zeros(1)}},
        "not a dict": [1],
    }
    for match, content in bad.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=match):
            read(path, base)
    assert "run" not in capsys.readouterr().out
    torch.save(good, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError):
        read(path, base)


def test_names_may_be_listed_repeatedly(tmp_path):
    """The authors' code lists a VAE module once for each pattern that its name contains."""
    base = load_base(str(write_base(tmp_path / "base")))
    content = authors_checkpoint(base.vae, base.unet)
    torch.save(content, tmp_path / "once.pkl")
    content["vae_lora_encoder_modules"] = [name for name in content["vae_lora_encoder_modules"] for _ in range(3)]
    torch.save(content, tmp_path / "thrice.pkl")
    once, thrice = (read(tmp_path / f"{name}.pkl", base) for name in ("once", "thrice"))
    assert once.state.keys() == thrice.state.keys() and once.config == thrice.config


def test_malformed_authors_checkpoints_are_one_message(tmp_path):
    base = load_base(str(write_base(tmp_path / "base")))
    path = tmp_path / "osediff.pkl"
    good = authors_checkpoint(base.vae, base.unet)
    vae = good["state_dict_vae"]
    first = next(iter(vae))
    twin = first.replace("default_encoder", "other")
    for match, changes in {
        "rank_unet 'abc'": {"rank_unet": "abc"},
        "rank_vae True": {"rank_vae": True},
        "rank_vae 0": {"rank_vae": 0},
        "a list as state_dict_unet": {"state_dict_unet": [1, 2]},
        "as unet_lora_others_modules something other": {"unet_lora_others_modules": None},
        "as vae_lora_encoder_modules something other": {"vae_lora_encoder_modules": [1]},
        "in state_dict_vae an entry .* not a tensor": {"state_dict_vae": vae | {first: 3.0}},
        "in state_dict_vae an entry 7": {"state_dict_vae": vae | {7: vae[first]}},
        "entry .* not a tensor of numbers": {"state_dict_vae": vae | {first: vae[first].bool()}},
        "a second time": {"state_dict_vae": vae | {twin: vae[first]}},
    }.items():
        torch.save(good | changes, path)
        with pytest.raises(UserError, match=match):
            read(path, base)


def test_tensors_that_do_not_fit_the_rank_or_the_base_are_refused_on_loading(tmp_path):
    base = load_base(str(write_base(tmp_path / "base")))
    path = tmp_path / "osediff.pkl"
    good = authors_checkpoint(base.vae, base.unet)
    lost = {name: t for name, t in good["state_dict_unet"].items() if not name.startswith("mid_block")}
    adapters = {}
    for match, changes in {
        "config need": {"rank_unet": 5},
        "has no 'unet.mid_block": {"state_dict_unet": lost},
    }.items():
        torch.save(good | changes, path)
        checkpoint = read(path, base)
        config = DenseConfig.from_json(checkpoint.config)
        if config not in adapters:
            models_ = models()
            adapters[config] = attach(models_[1], models_[0], config, 0)
        with pytest.raises(UserError, match=match):
            adapters[config].load_state_dict(checkpoint.state)
    torch.save(good | {"state_dict_unet": good["state_dict_unet"] | {"conv_in.base_layer.bias": torch.zeros(3)}}, path)
    with pytest.raises(UserError, match="the base's is"):
        read(path, base)
