"""The pipeline with an adapter that routes: severity in, trace out, one routing for all tiles of an image."""

from dataclasses import replace

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.mor.adapter import attach
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, save_adapter
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.options import MixtureOptions
from isrbench.methods.osediff.authors import read
from tests.support.onestep_base import one_thread, write_base  # noqa: F401

CONFIG = MoRConfig(shared=1, routed=6, zero_slots=2, top_k=3)


class Brightness:
    """Stands in for CLIP: every dimension is the image's mean."""

    def estimate(self, lr):
        return lr.mean((1, 2, 3))[:, None].expand(-1, 7)

    id = "brightness"

    def load(self):
        pass


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    base = write_base(tmp_path_factory.mktemp("routed") / "base")

    def build(**options) -> OneStepMethod:
        loaded = load_base(str(base))
        adapter = attach(loaded.unet, loaded.vae, CONFIG, 0)
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for name, parameter in adapter.parameters().items():
                spread = 5.0 if name.startswith("router") else 0.1
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
        options = MixtureOptions(base=str(base), latent="mode", truncate=False, **options)
        adapter.for_inference(merge=options.merge)
        return OneStepMethod(loaded, adapter, options, Runtime(4), 249, lambda image, lr: "", Brightness())

    return build


def test_trace_follows_the_severity_and_folding_changes_nothing(build):
    folded, apart = build(), build(merge=False)
    traces = []
    for value in (0.1, 0.9, 0.1):
        lr = torch.full((3, 10, 12), value)
        one, two = (method.restore(lr, image="x", seed=0) for method in (folded, apart))
        assert torch.allclose(one.image, two.image, atol=1e-3)
        assert one.trace == two.trace and len(one.trace.layers) == len(folded.adapter.layers)
        assert all(active + zero == 1 + 3 for active, zero in zip(one.trace.active, one.trace.zero, strict=True))
        traces.append(one.trace)
    assert traces[0] == traces[2] != traces[1]


def test_active_parameters_are_fewer_than_all(build):
    method = build(merge=False)
    cost = method.cost(16, 16)
    parameters, trace = method.adapter.parameters(), method.adapter.traces()[0]
    idle = sum(
        (7 - active) * (parameters[f"{name}.A"][0].numel() + parameters[f"{name}.B"].shape[1])
        for name, active in zip(trace.layers, trace.active, strict=True)
    )
    assert cost.params_active == cost.params_total - idle < cost.params_total


def test_all_tiles_share_the_image_s_routing(build):
    lr = torch.rand(3, 24, 24)
    tiled = build(tile=16, overlap=8).restore(lr, image="x", seed=0)
    whole = build().restore(lr, image="x", seed=0)
    assert tiled.image.shape == (3, 96, 96)
    assert replace(tiled.trace, macs=None) == replace(whole.trace, macs=None)
    assert tiled.trace.macs > whole.trace.macs, "where tiles overlap, the branches run twice"


def test_an_adapter_of_another_method_is_refused(build, tmp_path):
    method = build()
    path = tmp_path / "mor.safetensors"
    save_adapter(path, AdapterCheckpoint("mor", {}, method.base.base_hash, method.adapter.state_dict()))
    with pytest.raises(UserError, match="--method mor"):
        read(path, method.base)


@pytest.mark.parametrize("options", [{}, {"merge": False}, {"tile": 16, "overlap": 8}])
def test_images_of_other_severities_are_restored_together_as_alone(build, options):
    """Up to rounding; routing, MACs and parameters are each image's own."""
    method = build(**options)
    lrs = torch.rand(3, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.5, 1.0]).view(
        3, 1, 1, 1
    )
    together = method.restore_batch(lrs, images=["x", "y", "z"], seeds=[1, 2, 3])
    alone = [method.restore(lr, image=n, seed=s) for lr, n, s in zip(lrs, "xyz", (1, 2, 3), strict=True)]
    assert len({one.trace for one in alone}) > 1
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one.image, other.image, atol=1e-3) and one.trace == other.trace


def test_noise_is_each_images_own(build):
    method = build()
    method.options = replace(method.options, latent="sample")
    lr = torch.full((2, 3, 12, 12), 0.5)
    one, other = method.restore_batch(lr, images=["x", "y"], seeds=[1, 2])
    assert not torch.equal(one.image, other.image)
    assert torch.allclose(other.image, method.restore(lr[0], image="y", seed=2).image, atol=1e-3)


def test_what_goes_through_the_vae_in_chunks_is_restored_one_by_one(build):
    method = build(vae_pixels=1)
    lrs = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    together = method.restore_batch(lrs, images=["x", "y"], seeds=[1, 2])
    for place, (image, seed) in enumerate((("x", 1), ("y", 2))):
        assert torch.equal(together[place].image, method.restore(lrs[place], image=image, seed=seed).image)
