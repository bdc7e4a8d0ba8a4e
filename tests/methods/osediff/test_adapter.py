import collections
from dataclasses import asdict
from functools import cache

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base import chunked_vae
from isrbench.methods.onestep.base.load import build_models, load_base, sd21_configs
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, save_adapter
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.options import OneStepOptions
from isrbench.methods.onestep.train.regulariser import Regulariser
from isrbench.methods.osediff.adapter import SPEC, DenseConfig, attach
from isrbench.methods.osediff.plugin import PLUGIN
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401


def disturb(parameters, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)


@pytest.fixture
def step():
    vae, unet = models()
    z, c = torch.randn(2, 4, 8, 8), torch.randn(2, 3, 8)
    x = torch.rand(1, 3, 16, 16)

    @torch.no_grad()
    def run():
        moments = vae.encode(x).latent_dist.parameters
        return torch.cat([unet(z, 999, encoder_hidden_states=c).sample.flatten(), moments.flatten()])

    return vae, unet, run


def test_sd21_has_the_published_number_of_parameters():
    vae, unet = build_models(*sd21_configs())
    adapter = attach(unet, vae, DenseConfig(), 0)
    assert collections.Counter(name[:4] for name in adapter.layers) == {"unet": 258, "vae.": 32}
    assert adapter.active_parameters() == 4_436_908
    assert (
        sum(p.numel() for n, p in adapter.parameters().items() if n.startswith("unet.") and n[-2:] in (".A", ".B"))
        == 4_055_712
    )


def test_starts_as_base_merges_exactly_and_restores_the_base(step):
    vae, unet, run = step
    base = run()
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    adapter = attach(unet, vae, DenseConfig(), 0)
    assert torch.equal(run(), base)
    disturb(adapter.parameters())
    apart = run()
    assert (apart - base).abs().max() > 1e-2
    for _ in range(3):
        adapter.for_inference()
        assert torch.allclose(run(), apart, atol=2e-5)
        adapter.set_enabled(False)
        assert torch.equal(run(), base)
        adapter.set_enabled(True)
        adapter.for_training()
        assert torch.equal(run(), apart)
    adapter.for_inference()
    adapter.detach()
    assert torch.equal(run(), base)
    assert set(unet.state_dict()) == set(before)
    assert all(torch.equal(v, before[k]) for k, v in unet.state_dict().items())


def test_regulariser_and_adapter_switch_without_each_other(step):
    vae, unet, run = step
    base = run()
    regulariser = Regulariser(unet, 2, 1)
    adapter = attach(unet, vae, DenseConfig(), 0)
    disturb(adapter.parameters(), 1)
    disturb(regulariser.parameters(), 2)
    own = run()
    adapter.set_enabled(False)
    assert torch.equal(run(), base)
    with regulariser.enabled():
        assert (run() - base).abs().max() > 1e-3
    assert torch.equal(run(), base)
    adapter.set_enabled(True)
    assert torch.equal(run(), own)


def test_gradients_reach_the_adapter_alone(step):
    vae, unet, _ = step
    adapter = attach(unet, vae, DenseConfig(), 0)
    disturb(adapter.parameters())
    moments = vae.encode(torch.rand(1, 3, 16, 16)).latent_dist.parameters
    unet(moments[:, :4], 999, encoder_hidden_states=torch.randn(1, 3, 8)).sample.square().sum().backward()
    assert all(p.grad is not None for p in adapter.parameters().values())
    ours = {id(p) for p in adapter.parameters().values()}
    assert all(p.grad is None for m in (vae, unet) for p in m.parameters() if id(p) not in ours)


def test_state_that_does_not_fit(step):
    vae, unet, _ = step
    adapter = attach(unet, vae, DenseConfig(), 0)
    state = adapter.state_dict()
    first = next(iter(state))
    for wrong in (
        {**state, "x": state[first]},
        {k: v for k, v in state.items() if k != first},
        {**state, first: torch.zeros(1)},
    ):
        with pytest.raises(UserError):
            adapter.load_state_dict(wrong)
    for values in ({"rank": 0}, {"rank": 2.5}, {"ranks": 3}):
        with pytest.raises(UserError):
            DenseConfig.from_json(values)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("osediff")
    base = write_base(folder / "base")
    loaded = load_base(str(base))
    adapter = attach(loaded.unet, loaded.vae, DenseConfig(rank=2), 0)
    disturb(adapter.parameters())
    file = folder / "a.safetensors"
    save_adapter(
        file, AdapterCheckpoint("osediff", asdict(adapter.config), loaded.base_hash, adapter.state_dict(), {}, 249)
    )

    def build(scale=4, **options):
        options = {"base": str(base), "adapter": file, **options}
        return PLUGIN.make(OneStepOptions(**options), Runtime(scale))

    return build


@pytest.fixture(scope="module")
def at_scale(trained):
    """The method at a scale, built once: restoring changes nothing in it, as the next test shows."""
    return cache(trained)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 13), (20, 9), (1, 60)])
def test_any_size_and_scale(at_scale, scale, size):
    lr = torch.rand(3, *size)
    restored = at_scale(scale).restore(lr, image="x", seed=3).image
    assert restored.shape == (3, scale * size[0], scale * size[1])
    assert restored.min() >= 0 and restored.max() <= 1
    assert torch.allclose(restored * 255, (restored * 255).round(), atol=1e-3)


def test_result_depends_on_image_and_seed_alone(trained):
    method, lr = trained(), torch.rand(3, 12, 12)
    first = method.restore(lr, image="x", seed=3).image
    method.cost(16, 16)
    method.restore(torch.rand(3, 30, 7), image="y", seed=9)
    assert torch.equal(method.restore(lr, image="z", seed=3).image, first)
    assert not torch.equal(method.restore(lr, image="x", seed=4).image, first)
    mode = trained(latent="mode")
    assert torch.equal(*(mode.restore(lr, image="x", seed=s).image for s in (1, 2)))
    assert mode.restore(lr, image="x", seed=1).trace is None


def test_merged_equals_apart(trained):
    lr = torch.rand(3, 16, 16)
    merged, apart = (trained(merge=m, truncate=False).restore(lr, image="x", seed=0).image for m in (True, False))
    assert torch.allclose(merged, apart, atol=1e-4)


def test_a_large_image_in_tiles_and_chunks(trained, monkeypatch):
    monkeypatch.setattr(chunked_vae, "CHUNK_PIXELS", 512)
    lr = torch.rand(3, 40, 24)
    options = {"truncate": False, "latent": "mode", "colour_fix": "none"}
    whole = trained(**options).restore(lr, image="x", seed=0).image
    chunked = trained(vae_pixels=100, **options).restore(lr, image="x", seed=0).image
    assert torch.allclose(chunked, whole, atol=1e-4)
    tiled = trained(tile=16, overlap=8, vae_pixels=100, **options).restore(lr, image="x", seed=0).image
    assert tiled.shape == whole.shape and torch.isfinite(tiled).all()


def test_cost_counts_branches_only_when_apart(trained):
    merged, apart = (trained(merge=m) for m in (True, False))
    one, two = merged.cost(16, 16), apart.cost(16, 16)
    assert two.macs > one.macs == merged.base_cost(16, 16).total  # infer/test_cost.py counts real restorations
    assert one.params_active == one.params_total
    assert one.params_trainable == sum(p.numel() for p in merged.adapter.parameters().values())
    branch = apart.adapter.parameters()
    a, b = branch["unet.conv_in.A"], branch["unet.conv_in.B"]
    positions = dict.fromkeys(apart.adapter.layers, 0) | {"unet.conv_in": 7}
    whole = branch["unet.conv_in.weight"]
    assert apart.adapter.macs(positions) == 7 * (a.numel() + b.numel() + whole.numel())


def test_wrong_base_method_prompts_and_timestep(trained, tmp_path):
    other = write_base(tmp_path / "other", seed=5)
    prompts = tmp_path / "p.txt"
    prompts.write_text("x\ta\n")
    wrong = {
        "another base": {"base": str(other)},
        "one fixed prompt": {"prompts": "file", "prompt_file": prompts},
        "timestep": {"timestep": 1000},
    }
    for match, options in wrong.items():
        with pytest.raises(UserError, match=match):
            trained(**options)
    with pytest.raises(UserError, match="no osediff adapter ships"):
        build_method(OneStepOptions(base="sd21"), Runtime(4), SPEC)
    with pytest.raises(UserError, match="scales 1 to 4"):
        trained(8)


def test_the_weights_hash_is_that_of_float32(trained):
    assert trained().weights_hash == trained(dtype="bf16").weights_hash != "" == trained().input_hash("x")
    assert trained(process_size=0).restore(torch.rand(3, 2, 3), image="x", seed=0).image.shape == (3, 8, 12)
