"""Restoring against the formula composed by hand, against the trainer's generator, and in half precision."""

from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, load_adapter, save_adapter
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.geometry import plan, upscale
from isrbench.methods.onestep.options import MixtureOptions, OneStepOptions
from isrbench.methods.onestep.train.config import validated
from isrbench.methods.onestep.train.degrade import upsample
from isrbench.methods.onestep.train.networks import assemble
from isrbench.methods.osediff.adapter import DenseConfig
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401
from tests.support.training_world import CPU, DENSE, MOR, Statistics, light, statistics, values  # noqa: F401

KINDS = {
    "osediff": (DENSE, DenseConfig(rank=2)),
    "mor": (MOR, MoRConfig(shared=1, routed=6, zero_slots=2, top_k=3, router_std=3.0)),
}
TIMESTEP, SEED = 249, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A base, and an adapter of each kind with random values."""
    folder = tmp_path_factory.mktemp("formula")
    base = str(write_base(folder / "base"))
    for name, (spec, config) in KINDS.items():
        loaded = load_base(base)
        adapter = spec.attach(loaded.unet, loaded.vae, config, 0)
        generator = torch.Generator().manual_seed(1)
        state = {k: v + torch.randn(v.shape, generator=generator) * 0.05 for k, v in adapter.state_dict().items()}
        trained = {"estimator": "tiny"} if spec.routes else {}
        checkpoint = AdapterCheckpoint(name, asdict(config), loaded.base_hash, state, trained, TIMESTEP)
        save_adapter(folder / f"{name}.safetensors", checkpoint)
    return folder


@pytest.fixture
def build(folder):
    def build(name, scale=4, estimators=statistics, **options):
        options = {"base": str(folder / "base"), "adapter": folder / f"{name}.safetensors", **options}
        spec = KINDS[name][0]
        chosen = (MixtureOptions if spec.routes else OneStepOptions)(**options)
        return build_method(chosen, Runtime(scale), spec, estimators=estimators)

    return build


def networks(folder, name):
    """The trainer's networks with the same adapter."""
    spec, config = KINDS[name]
    plain = values(folder, "unused", timestep=TIMESTEP, data={"folders": ("unused",)}) | {"adapter": {}}
    nets = assemble(load_base(str(folder / "base")), validated(plain), spec, config, CPU, statistics)
    nets.adapter.load_state_dict(load_adapter(folder / f"{name}.safetensors").state)
    return nets


def an_image(height, width, low=0, high=256):
    rng = np.random.default_rng(height)
    return Image.fromarray(rng.integers(low, high, (height, width, 3), dtype=np.uint8))


def to_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def adain_by_hand(image, source):
    """Each channel gets the source's mean and standard deviation, sqrt(unbiased variance + 1e-5)."""
    out = torch.empty_like(image)
    for c in range(3):
        own, other = image[c].flatten(), source[c].flatten()
        normal = (own - own.mean()) / (own.var(unbiased=True) + 1e-5).sqrt()
        out[c] = (normal * (other.var(unbiased=True) + 1e-5).sqrt() + other.mean()).view_as(image[c])
    return out.clamp(0, 1)


@torch.no_grad()
def by_hand(nets, image, size, padded):
    """Pillow's upscaling, encoder, one UNet step at 249, x0, decoder, crop, adain; the adapter runs apart."""
    source = to_tensor(image.resize(size[::-1], Image.Resampling.BICUBIC))
    rows, columns = (
        [*range(side), *range(side - 2, 2 * side - total - 2, -1)] for side, total in zip(size, padded, strict=True)
    )
    pixels = source[:, rows][:, :, columns][None] * 2 - 1
    vae, unet = nets.base.vae, nets.base.unet
    posterior = vae.encode(pixels).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(SEED))
    z = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    eps = unet(z, torch.tensor([TIMESTEP]), encoder_hidden_states=nets.positive).sample
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    abar = torch.cumprod(1 - betas, 0)[TIMESTEP]
    x0 = (z - (1 - abar).sqrt() * eps) / abar.sqrt()
    decoded = vae.decode(x0 / vae.config.scaling_factor).sample[0, :, : size[0], : size[1]]
    return adain_by_hand(decoded.clamp(-1, 1) / 2 + 0.5, source)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("lr", "padded"), [((16, 12), (64, 48)), ((10, 11), (40, 48))])
def test_restoring_is_the_formula(build, folder, name, lr, padded):
    image, nets = an_image(*lr), networks(folder, name)
    nets.adapter.route(Statistics().estimate(to_tensor(image)[None]))
    expected = by_hand(nets, image, (4 * lr[0], 4 * lr[1]), padded)
    for merge in (True, False):
        method = build(name, truncate=False, merge=merge)
        found = method.restore(to_tensor(image), image="x", seed=SEED).image
        assert (found - expected).abs().max() < 1e-5
    # With truncation: down to a level after the network, and once more after the colour fix.
    cut = build(name).restore(to_tensor(image), image="x", seed=SEED).image
    assert (cut - expected).abs().max() < 3 / 255 and cut.mean() < expected.mean()


def test_the_colour_fix_is_the_adapter_s_own_unless_told_otherwise(build, folder, tmp_path):
    lr = to_tensor(an_image(12, 12))
    fixed = {kind: build("osediff", colour_fix=kind) for kind in ("adain", "wavelet", "none")}
    fixed = {kind: method.restore(lr, image="x", seed=SEED).image for kind, method in fixed.items()}
    assert all(not torch.equal(fixed[a], fixed[b]) for a, b in combinations(fixed, 2))
    checkpoint = load_adapter(folder / "osediff.safetensors")
    for trained, expected in [({}, "adain"), *(({"colour_fix": kind}, kind) for kind in fixed)]:
        save_adapter(tmp_path / "own.safetensors", replace(checkpoint, training=trained))
        method = build("osediff", adapter=tmp_path / "own.safetensors")
        assert torch.equal(method.restore(lr, image="x", seed=SEED).image, fixed[expected])
    save_adapter(tmp_path / "own.safetensors", replace(checkpoint, training={"colour_fix": "sepia"}))
    with pytest.raises(UserError, match="colour fix 'sepia'"):
        build("osediff", adapter=tmp_path / "own.safetensors")


@torch.no_grad()
@pytest.mark.parametrize("name", KINDS)
def test_inference_is_what_was_trained(build, folder, name):
    """The same enlarging, the same step; the adapter is merged or folded here and runs apart there."""
    nets = networks(folder, name)
    noise = torch.randn((1, 4, 16, 12), generator=torch.Generator().manual_seed(SEED))
    method = build(name, truncate=False, colour_fix="none")
    lr = to_tensor(an_image(16, 12, 64, 192))
    trained = nets.base.decode(nets.generate(lr[None], nets.severity(lr[None]), noise))[0].clamp(-1, 1) / 2 + 0.5
    assert (method.restore(lr, image="x", seed=SEED).image - trained).abs().max() < 1e-5


def test_the_trainer_enlarges_as_inference_does():
    """To the last bit, and both as Pillow does."""
    images = [an_image(12, 9, 64, 192), an_image(12, 9, 0, 256)]
    lr = torch.stack([to_tensor(image) for image in images])
    theirs = torch.stack([to_tensor(image.resize((36, 48), Image.Resampling.BICUBIC)) for image in images])
    assert torch.equal(upsample(lr), theirs)
    assert torch.equal(torch.stack([upscale(one, plan(12, 9, 4, 0, 8), 4) for one in lr]), theirs)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("merge", [True, False])
def test_half_precision_stays_near_full(build, name, merge):
    options = {"truncate": False, "colour_fix": "none", "latent": "mode", "merge": merge}
    lr = to_tensor(an_image(16, 16))
    full = build(name, **options).restore(lr, image="x", seed=0)
    # 11 and 8 bits of mantissa, through some thirty layers.
    for dtype, mean, most in (("fp16", 2e-3, 3e-2), ("bf16", 1.6e-2, 0.24)):
        half = build(name, dtype=dtype, **options).restore(lr, image="x", seed=0)
        difference = (half.image - full.image).abs()
        assert 0 < difference.mean() < mean and difference.max() < most, (
            dtype,
            difference.mean(),
            difference.max(),
        )
        assert half.trace == full.trace and half.image.dtype == torch.float32


def test_the_trained_estimator_is_used_and_its_change_noticed(build, folder, tmp_path):
    checkpoint = load_adapter(folder / "mor.safetensors")
    for known, match in (("statistics", None), ("another", "has changed since")):
        training = {"estimator": "tiny", "estimator_id": known}
        save_adapter(tmp_path / "a.safetensors", replace(checkpoint, training=training))
        if match is None:
            build("mor", adapter=tmp_path / "a.safetensors")
            continue
        with pytest.raises(UserError, match=match):
            build("mor", adapter=tmp_path / "a.safetensors")
        build("mor", adapter=tmp_path / "a.safetensors", estimator="tiny")
    save_adapter(tmp_path / "a.safetensors", replace(checkpoint, training={}))
    with pytest.raises(UserError, match="does not say with which severity estimator"):
        build("mor", adapter=tmp_path / "a.safetensors")
    build("mor", adapter=tmp_path / "a.safetensors", estimator="tiny")


def test_an_adapter_that_is_not_there_is_noticed_before_the_base_is_fetched(build, tmp_path):
    with pytest.raises(UserError, match=r"the adapter file .* does not exist"):
        build("osediff", base="nobody/nothing", adapter=tmp_path / "none.safetensors")


def test_the_estimator_s_temperature_is_the_trained_one_or_a_given_one(build, folder, tmp_path):
    asked = []

    def estimators(*args):
        asked.append(args)
        return Statistics()

    training = {"estimator": "clip", "logit_scale": 1.0}
    save_adapter(tmp_path / "a.safetensors", replace(load_adapter(folder / "mor.safetensors"), training=training))
    build("mor", estimators=estimators, adapter=tmp_path / "a.safetensors")
    build("mor", estimators=estimators, adapter=tmp_path / "a.safetensors", estimator="tiny", logit_scale=2.0)
    assert asked == [("clip", "cpu", 1.0), ("tiny", "cpu", 2.0)]
    with pytest.raises(UserError, match="needs an estimator"):
        build("mor", logit_scale=2.0)
