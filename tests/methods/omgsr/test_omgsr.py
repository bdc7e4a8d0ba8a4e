"""OMGSR-S: the authors' folder exactly, its formula by hand at t = 273, sizes, and folders that do not fit."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.omgsr.adapter import TIMESTEP
from isrbench.methods.omgsr.authors import CONFIG, WEIGHTS, read
from isrbench.methods.omgsr.options import OmgsrOptions
from isrbench.methods.omgsr.plugin import PLUGIN
from isrbench.methods.onestep.base.load import load_base, random_sd21
from isrbench.methods.onestep.base.targets import named_modules, unet_targets, vae_targets
from isrbench.methods.onestep.infer.geometry import resize
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.lora import Lora, LoraConfig, attach
from tests.support.authors_files import OMGSR_NAMES, add_lora, omgsr_content, write_omgsr
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401

PREFIX = "base_model.model."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("omgsr")
    base = load_base(str(write_base(folder / "base")))
    write_omgsr(folder, base.vae, base.unet)
    return folder


@pytest.fixture(scope="module")
def build(folder):
    def build(**options):
        options = {"base": str(folder / "base"), "adapter": folder / "omgsr-s-512", **options}
        return PLUGIN.make(OmgsrOptions(**options), Runtime(4))

    return build


@torch.no_grad()
@pytest.mark.parametrize("merge", [True, False])
def test_restoring_is_the_formula(build, merge):
    """Both LoRAs in the plain weights at scale 1, then z_H = (z_L - sqrt(1 - abar) e) / sqrt(abar) at t = 273."""
    vae, unet = models()
    content = omgsr_content(vae, unet)
    add_lora(unet, content["unet_lora_adapter"][1], 1.0, PREFIX)
    add_lora(vae.encoder, content["vae_encoder_lora_adapter"][1], 1.0, PREFIX)
    lr = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    posterior = vae.encode(resize(lr, (32, 32))[None] * 2 - 1).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(5))
    z = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    embedding = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    e = unet(z, torch.tensor([273]), encoder_hidden_states=embedding).sample
    abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[273]
    z = (z - (1 - abar).sqrt() * e) / abar.sqrt()
    expected = vae.decode(z / vae.config.scaling_factor).sample[0].clamp(-1, 1) / 2 + 0.5
    method = build(merge=merge, process_size=0, truncate=False, colour_fix="none")
    assert method.timestep == TIMESTEP == 273
    assert (method.restore(lr, image="x", seed=5).image - expected).abs().max() < 2e-5


def test_the_defaults_are_the_script_s(build):
    options = OmgsrOptions()
    assert (options.base, options.tile, options.overlap, options.prompts) == ("sd21", 64, 32, "adapter")
    method = build()
    assert method.colour_fix == "adain" and method.prompter("x", torch.rand(3, 4, 4)) == ""


def test_modules_parameters_and_macs_on_stable_diffusion():
    base = random_sd21("meta")
    unet, encoder = named_modules(base.unet, OMGSR_NAMES), named_modules(base.vae.encoder, OMGSR_NAMES)
    assert (len(unet), len(encoder)) == (194, 31)
    ends = (".proj_in", ".proj_out", ".ff.net.0.proj", ".ff.net.2")
    assert unet == [name for name in unet_targets(base.unet) if not name.endswith(ends)]
    assert [f"encoder.{name}" for name in encoder] == [n for n in vae_targets(base.vae) if n != "quant_conv"]
    loras = {
        "vae": Lora(tuple(f"vae.encoder.{name}" for name in encoder), 16, 1.0),
        "unet": Lora(tuple(f"unet.{name}" for name in unet), 32, 1.0),
    }
    adapter = attach(base.unet, base.vae, LoraConfig(loras), 0)
    sizes = dict.fromkeys(loras, 0)
    for name, parameter in adapter.parameters().items():
        sizes[name.partition(".")[0]] += parameter.numel()
    # OSEDiff's 4,055,712 of rank 4 at rank 32, less 18 d for the projections and feed-forward of each block of width d.
    widths = 5 * 320 + 5 * 640 + 6 * 1280
    assert sizes == {"vae": 1_477_168, "unet": 8 * 4_055_712 - 32 * 18 * widths}
    assert sum(sizes.values()) == 26_734_384
    method = OneStepMethod(base, adapter, OmgsrOptions(), Runtime(4), TIMESTEP, lambda image, lr: "")
    cost = method.cost(128, 128)
    assert cost.macs / 1e9 == pytest.approx(2217.7, rel=1e-3)
    assert cost.params_trainable == sum(sizes.values())


def test_folders_that_do_not_fit_are_one_message(folder, tmp_path):
    base = load_base(str(folder / "base"))
    place = tmp_path / "omgsr"

    def refused(match, part="unet_lora_adapter", config=None, tensors=None, **changes):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder / "omgsr-s-512", place)
        path = place / part / CONFIG
        content = json.loads(path.read_text()) | changes
        path.write_text(json.dumps(content) if config is None else config)
        if tensors is not None:
            save_file(tensors(load_file(path.with_name(WEIGHTS))), path.with_name(WEIGHTS))
        with pytest.raises(UserError, match=match):
            checkpoint = read(place, base)
            attach(*models()[::-1], LoraConfig.from_json(checkpoint.config), 0).load_state_dict(checkpoint.state)

    refused("is not valid JSON", config="{")
    refused("has no 'r'", config="[]")
    refused("has r 'four'", r="four")
    refused("has lora_alpha 0", lora_alpha=0)
    refused("something other than a list", target_modules="all-linear")
    refused("use_dora True", use_dora=True)
    refused("use_qalora True", use_qalora=True)
    refused("init_lora_weights 'pissa'", init_lora_weights="pissa")
    refused("rank_pattern", rank_pattern={"conv_in": 8})
    refused("another base", target_modules=[*OMGSR_NAMES, "proj_in"])
    refused("another base", part="vae_encoder_lora_adapter", target_modules=OMGSR_NAMES[1:])
    refused("need", r=5)
    first = f"{PREFIX}conv_in.lora_A.weight"
    refused("only half a LoRA", tensors=lambda state: {k: v for k, v in state.items() if k != first})
    refused("unexpected tensor 'conv_in", tensors=lambda state: state | {"conv_in.lora_A.weight": state[first].clone()})
    refused("unknown adapter 'b'", tensors=lambda s: s | {f"{PREFIX}x.lora_{m}.b.weight": torch.ones(1) for m in "AB"})
    (place / "unet_lora_adapter" / WEIGHTS).write_bytes(b"\x08short")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        read(place, base)
    (place / "unet_lora_adapter" / WEIGHTS).unlink()
    with pytest.raises(UserError, match="does not exist"):
        read(place, base)


def test_modules_that_the_family_does_not_count_are_refused(folder, tmp_path):
    base = load_base(str(folder / "base"))
    shutil.copytree(folder / "omgsr-s-512", tmp_path / "omgsr")
    path = tmp_path / "omgsr" / "unet_lora_adapter" / CONFIG
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"init_lora_weights": "gaussian", "target_modules": ["linear_1"]}))
    (name,) = named_modules(base.unet, ["linear_1"])
    weight = base.unet.get_submodule(name).weight
    a, b = torch.ones(config["r"], weight.shape[1]), torch.ones(len(weight), config["r"])
    tensors = {f"{PREFIX}{name}.lora_A.weight": a, f"{PREFIX}{name}.lora_B.weight": b}
    save_file(tensors, path.with_name(WEIGHTS))
    with pytest.raises(UserError, match=f"adapts '{name}', which no method of the family does"):
        read(tmp_path / "omgsr", base)


def test_the_weights_hash_is_of_what_is_read_of_the_folder(build, folder, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder / "omgsr-s-512", copy)
    (copy / "unet_lora_adapter" / "README.md").write_text("peft's own")
    (copy / ".DS_Store").write_bytes(b"a file manager's")
    assert build(adapter=copy).weights_hash == build().weights_hash
    config = copy / "unet_lora_adapter" / CONFIG
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 6}))
    assert build(adapter=copy).weights_hash != build().weights_hash


def test_without_weights_one_line_says_what_to_get():
    with pytest.raises(UserError, match="its authors' adapter") as error:
        PLUGIN.make(OmgsrOptions(), Runtime(4))
    assert "OMGSR-S-512" in error.value.fix and "\n" not in error.value.fix


def test_it_runs_on_the_base_that_ships(tmp_path):
    tiny = load_base("tiny")
    method = PLUGIN.make(OmgsrOptions(base="tiny", adapter=write_omgsr(tmp_path, tiny.vae, tiny.unet)), Runtime(4))
    restored = method.restore(torch.rand(3, 9, 10), image="x", seed=0).image
    assert method.variant == "tiny" and restored.shape == (3, 36, 40) and torch.isfinite(restored).all()
