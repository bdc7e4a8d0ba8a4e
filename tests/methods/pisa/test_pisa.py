"""PiSA-SR: the authors' file exactly, its formula by hand, one pass or two, sizes as published, bad files refused."""

from __future__ import annotations

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.load import build_models, load_base, random_sd21
from isrbench.methods.onestep.base.targets import unet_targets
from isrbench.methods.onestep.infer.geometry import resize
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.lora import Lora, LoraConfig, attach
from isrbench.methods.pisa.adapter import adjusted
from isrbench.methods.pisa.authors import read
from isrbench.methods.pisa.options import PisaOptions
from isrbench.methods.pisa.plugin import PLUGIN
from tests.support.authors_files import add_lora, pisa_content, write_pisa
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401

EXACT = {"truncate": False, "colour_fix": "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pisa")
    base = load_base(str(write_base(folder / "base")))
    write_pisa(folder, base.vae, base.unet)
    return folder


@pytest.fixture(scope="module")
def build(folder):
    def build(**options):
        options = {"base": str(folder / "base"), "adapter": folder / "pisa_sr.pkl", **options}
        return PLUGIN.make(PisaOptions(**options), Runtime(4))

    return build


@torch.no_grad()
def by_hand(lr, pix, sem, seed):
    """Pillow's enlarging aside: encode, e of the pixel LoRA and of both, z - (pix e1 + sem (e2 - e1)), decode."""
    vae, pixels = models()
    _, both = models()
    state = pisa_content(pixels)["state_dict_unet"]
    first = {name: tensor for name, tensor in state.items() if "_pix." in name}
    add_lora(pixels, first, 8 / 3)
    add_lora(both, first, 8 / 3)
    add_lora(both, {name: tensor for name, tensor in state.items() if name not in first}, 8 / 3)
    embedding = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    posterior = vae.encode(lr[None] * 2 - 1).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(seed))
    z = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    e1, e2 = (unet(z, torch.tensor([1]), encoder_hidden_states=embedding).sample for unet in (pixels, both))
    z = z - (pix * e1 + sem * (e2 - e1))
    return vae.decode(z / vae.config.scaling_factor).sample[0].clamp(-1, 1) / 2 + 0.5


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize(("pix", "sem", "passes"), [(1, 1, 1), (0.5, 1.5, 2), (1, 0, 1), (0, 1, 2), (0, 0, 1)])
def test_restoring_is_the_formula(build, merge, pix, sem, passes):
    method = build(lambda_pix=pix, lambda_sem=sem, merge=merge, process_size=0, **EXACT)
    assert len(method.passes(torch.empty(0))) == passes
    lr = torch.full((3, 8, 8), 0.25)
    lr[:, :, 4:] = 0.75
    expected = by_hand(resize(lr, (32, 32)), pix, sem, seed=5)
    for _ in range(2):
        found = method.restore(lr, image="x", seed=5).image
        assert (found - expected).abs().max() < 2e-5


def test_the_residual_is_taken_off_whatever_the_timestep(build):
    base = build().base
    assert build().timestep == 1 and build().colour_fix == "adain"
    z, residual = torch.full((1, 4, 2, 2), 1.5), torch.full((1, 4, 2, 2), 0.25)
    for timestep in (1, 999):
        assert torch.equal(base.x0(z, residual, timestep), torch.full((1, 4, 2, 2), 1.25))


def test_two_passes_in_tiles_are_two_passes_of_each_tile(build):
    lr = torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(0))
    options = {"lambda_pix": 0.7, "tile": 8, "overlap": 4, **EXACT}
    tiled = build(**options).restore(lr, image="x", seed=0).image
    apart = build(merge=False, **options).restore(lr, image="x", seed=0).image
    assert torch.allclose(tiled, apart, atol=1e-4)
    whole = build(**options | {"tile": 96}).restore(lr, image="x", seed=0).image
    assert not torch.allclose(tiled, whole, atol=1e-4)


def test_modules_parameters_and_macs_on_stable_diffusion():
    """8.1 M trained parameters; one pass costs what the base does, a second one a UNet more."""
    base = random_sd21("meta")
    names = tuple(f"unet.{name}" for name in unet_targets(base.unet))
    adapter = attach(base.unet, base.vae, LoraConfig(dict.fromkeys(("pix", "sem"), Lora(names, 4, 2.0))), 0)
    assert len(adapter.layers) == 258
    assert adapter.active_parameters() == 2 * 4_055_712 == 8_111_424
    adapter.use("pix")
    assert adapter.active_parameters() == 4_055_712

    def cost(pix, sem, merge):
        options = PisaOptions(lambda_pix=pix, lambda_sem=sem, merge=merge)
        method = OneStepMethod(base, adapter, options, Runtime(4), 1, lambda image, lr: "")
        method.passes = adjusted(adapter, pix, sem)
        return method.cost(128, 128), method.base_cost(128, 128)

    one, counted = cost(1, 1, True)
    assert one.macs == counted.total and one.macs / 1e9 == pytest.approx(2217.7, rel=1e-3)
    assert one.params_total == 865_910_724 + 83_653_863 + 8_111_424
    two, _ = cost(1, 0.5, True)
    assert two.macs - one.macs == counted.unet
    for on, last in ((1, "sem"), (1, "pix"), (0, "pix"), (0, "sem")):
        adapter.use(last)  # what was on before decides nothing
        sizes = {(1, 0.5): 8_111_424, (1, 1): 8_111_424, (1, 0): 4_055_712}
        for strengths, size in sizes.items():
            found = cost(*strengths, bool(on))[0]
            assert found.params_active - (found.params_total - found.params_trainable) == size
    apart = [cost(pix, sem, False)[0].macs for pix, sem in ((1, 0), (1, 1), (1, 0.5))]
    branch = apart[0] - one.macs  # of one LoRA: on in both passes, and the other in the second
    assert branch > 0 and apart[1] == one.macs + 2 * branch and apart[2] == two.macs + 3 * branch


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_files_that_do_not_fit_are_one_message(folder, tmp_path, capsys):
    base = load_base(str(folder / "base"))
    good = pisa_content(base.unet)
    state, path = good["state_dict_unet"], tmp_path / "pisa_sr.pkl"
    first = next(iter(state))
    for match, content in {
        "holds more than weights": good | {"lora_rank_unet_pix": Evil()},
        "has no 'lora_rank_unet_sem'": {k: v for k, v in good.items() if k != "lora_rank_unet_sem"},
        "unknown entry 'surprise'": good | {"surprise": 1},
        "lora_rank_unet_pix True": good | {"lora_rank_unet_pix": True},
        "another base": good | {"unet_lora_others_modules_sem": ["mid_block.none"]},
        "something other than a list": good | {"unet_lora_others_modules_sem": "mid_block"},
        "unexpected tensor 'conv_in.weight'": good | {"state_dict_unet": state | {"conv_in.weight": state[first]}},
        "only half a LoRA": good | {"state_dict_unet": {k: v for k, v in state.items() if k != first}},
        "unknown adapter 'spare'": good
        | {"state_dict_unet": state | {f"conv_in.lora_{m}.spare.weight": state[first] for m in "AB"}},
        "not a tensor of numbers": good | {"state_dict_unet": state | {first: 3.0}},
        "a list where a dict": good | {"state_dict_unet": [1]},
        "not a dict": [1],
    }.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=match):
            read(path, base)
    assert "run" not in capsys.readouterr().out
    torch.save(good | {"lora_rank_unet_sem": 5}, path)
    checkpoint = read(path, base)
    with pytest.raises(UserError, match=r"'unet\..*\.sem\.A' is .* need"):
        attach(base.unet, base.vae, LoraConfig.from_json(checkpoint.config), 0).load_state_dict(checkpoint.state)


def test_without_weights_one_line_says_what_to_get(build):
    with pytest.raises(UserError, match="its authors' adapter") as error:
        PLUGIN.make(PisaOptions(), Runtime(4))
    assert "pisa_sr.pkl" in error.value.fix and "\n" not in error.value.fix
    with pytest.raises(UserError, match="cannot be negative"):
        build(lambda_sem=-1)


def test_it_runs_on_the_base_that_ships(tmp_path):
    tiny = load_base("tiny")
    method = PLUGIN.make(PisaOptions(base="tiny", adapter=write_pisa(tmp_path, tiny.vae, tiny.unet)), Runtime(4))
    assert method.variant == "tiny"
    restored = method.restore(torch.rand(3, 9, 10), image="x", seed=0).image
    assert restored.shape == (3, 36, 40) and torch.isfinite(restored).all()


def test_detached_the_base_is_itself_again():
    vae, unet = build_models(*(model.config for model in models()), device="cpu")
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    names = tuple(f"unet.{name}" for name in unet_targets(unet))
    adapter = attach(unet, vae, LoraConfig({"pix": Lora(names, 2, 1.0)}), 0)
    adapter.load_state_dict({name: torch.ones_like(tensor) for name, tensor in adapter.state_dict().items()})
    adapter.for_inference()
    adapter.detach()
    after = unet.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
