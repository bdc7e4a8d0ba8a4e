"""HYPIR-SD2: the authors' file exactly, its formula by hand at t = 200, sizes, and files that do not fit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.hypir.adapter import TARGETS, TIMESTEP
from isrbench.methods.hypir.authors import read
from isrbench.methods.hypir.options import WEIGHTS, HypirOptions
from isrbench.methods.hypir.plugin import PLUGIN
from isrbench.methods.onestep.base.load import load_base, random_sd21
from isrbench.methods.onestep.base.targets import named_modules, unet_targets
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.lora import Lora, LoraConfig, attach
from tests.support.authors_files import add_lora, hypir_content, write_hypir
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hypir")
    base = load_base(str(write_base(folder / "base")))
    write_hypir(folder, base.vae, base.unet)
    return folder


@pytest.fixture(scope="module")
def build(folder):
    def build(**options):
        options = {"base": str(folder / "base"), "adapter": folder / "HYPIR_sd2.pth", **options}
        return PLUGIN.make(HypirOptions(**options), Runtime(4))

    return build


def low_by_hand(image):
    """Five blurs by the kernel [1 2 1]' [1 2 1] / 16 with holes of 1, 2, 4, 8, 16 and replicated borders."""
    taps = torch.tensor([1.0, 2.0, 1.0])
    for hole in (1, 2, 4, 8, 16):
        padded = F.pad(image[None], (hole,) * 4, mode="replicate")[0]
        height, width = image.shape[1:]
        image = sum(
            taps[i] * taps[j] / 16 * padded[:, i * hole : i * hole + height, j * hole : j * hole + width]
            for i in range(3)
            for j in range(3)
        )
    return image


@torch.no_grad()
@pytest.mark.parametrize("merge", [True, False])
def test_restoring_is_the_formula(build, merge):
    """Torch's bicubic; the LoRA at scale 1; x0 at t = 200; high frequencies of the result and low ones of the LR."""
    vae, unet = models()
    add_lora(unet, hypir_content(unet), 1.0)
    lr = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    source = F.interpolate(lr[None], scale_factor=4, mode="bicubic")
    posterior = vae.encode(source * 2 - 1).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(5))
    z = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    embedding = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    e = unet(z, torch.tensor([200]), encoder_hidden_states=embedding).sample
    abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[200]
    z = (z - (1 - abar).sqrt() * e) / abar.sqrt()
    decoded = vae.decode(z / vae.config.scaling_factor).sample[0].clamp(-1, 1) / 2 + 0.5
    expected = (decoded - low_by_hand(decoded) + low_by_hand(source[0])).clamp(0, 1)
    method = build(merge=merge, process_size=0, truncate=False)
    assert (method.timestep, method.colour_fix) == (TIMESTEP, "wavelet") == (200, "wavelet")
    assert (method.restore(lr, image="x", seed=5).image - expected).abs().max() < 2e-5


def test_the_defaults_are_the_script_s(build):
    options = HypirOptions()
    assert (options.base, options.enlarge, options.tile, options.overlap) == ("sd21", "bicubic", 64, 32)
    assert build().prompter("x", torch.rand(3, 4, 4)) == ""


def test_modules_parameters_and_macs_on_stable_diffusion():
    base = random_sd21("meta")
    names = named_modules(base.unet, TARGETS)
    assert len(names) == 257 and names == [name for name in unet_targets(base.unet) if name != "conv_in"]
    config = LoraConfig({"unet": Lora(tuple(f"unet.{name}" for name in names), 256, 1.0)})
    adapter = attach(base.unet, base.vae, config, 0)
    # OSEDiff's 4,055,712 of rank 4 at rank 256, less conv_in's.
    assert adapter.active_parameters() == 64 * 4_055_712 - 256 * (4 * 9 + 320) == 259_474_432
    method = OneStepMethod(base, adapter, HypirOptions(), Runtime(4), TIMESTEP, lambda image, lr: "")
    assert method.cost(128, 128).macs / 1e9 == pytest.approx(2217.7, rel=1e-3)


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_do_not_fit_are_one_message(folder, tmp_path, capsys):
    base = load_base(str(folder / "base"))
    good, path = hypir_content(base.unet), tmp_path / "HYPIR_sd2.pth"
    first = next(iter(good))
    b = good[first.replace("lora_A", "lora_B")]
    for match, content in {
        "holds more than weights": good | {"code": Evil()},
        "unexpected tensor 'conv_in.weight'": good | {"conv_in.weight": good[first]},
        "only half a LoRA": {name: tensor for name, tensor in good.items() if name != first},
        "another base.*'conv_in'": good | {f"conv_in.lora_{m}.default.weight": good[first] for m in "AB"},
        "unknown adapter 'spare'": good | {f"conv_in.lora_{m}.spare.weight": good[first] for m in "AB"},
        "another base": {},
        "of ranks 2, 3, not of one": good | {first: good[first][:2], first.replace("lora_A", "lora_B"): b[:, :2]},
        "not a tensor of numbers": good | {first: good[first].bool()},
    }.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=match):
            read(path, base)
    assert "run" not in capsys.readouterr().out
    torch.save(good | {first.replace("lora_A", "lora_B"): b[:-1]}, path)
    checkpoint = read(path, base)
    with pytest.raises(UserError, match="need"):
        attach(base.unet, base.vae, LoraConfig.from_json(checkpoint.config), 0).load_state_dict(checkpoint.state)


def test_fetched_weights_are_found_and_without_them_one_line_says_what_to_get(build, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="weights of hypir are not here") as error:
        PLUGIN.make(HypirOptions(), Runtime(4))
    assert "isrbench fetch weights --method hypir" in error.value.fix and "\n" not in error.value.fix
    place = tmp_path / "hub" / WEIGHTS.path
    place.parent.mkdir(parents=True)
    place.write_bytes((folder / "HYPIR_sd2.pth").read_bytes())
    assert build(adapter=None).weights_hash == build().weights_hash


def test_it_runs_on_the_base_that_ships(tmp_path):
    tiny = load_base("tiny")
    method = PLUGIN.make(HypirOptions(base="tiny", adapter=write_hypir(tmp_path, tiny.vae, tiny.unet)), Runtime(4))
    restored = method.restore(torch.rand(3, 9, 10), image="x", seed=0).image
    assert method.variant == "tiny" and restored.shape == (3, 36, 40) and torch.isfinite(restored).all()
