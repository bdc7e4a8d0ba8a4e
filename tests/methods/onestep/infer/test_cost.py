"""MACs: what a real restoration multiplies is what `cost` says, and Stable Diffusion 2.1's on the meta device."""

from functools import cache

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from isrbench.harness.api.complexity import count_macs
from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.methods.mor.adapter import attach
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.mor.layers import MoRLayer
from isrbench.methods.mor.router import RouterBank
from isrbench.methods.onestep.base.load import build_models, load_base, sd21_configs
from isrbench.methods.onestep.infer.cost import base_cost, count_positions
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.options import MixtureOptions, OneStepOptions
from isrbench.methods.osediff.adapter import DenseConfig
from isrbench.methods.osediff.adapter import attach as attach_dense
from tests.support.onestep_base import models, one_thread, write_base  # noqa: F401

CONFIG = MoRConfig(shared=1, routed=6, zero_slots=2, top_k=3, router_std=3.0)


class Half:
    """Estimates 0.5 throughout, which is what `cost` assumes."""

    def estimate(self, lr):
        return torch.full((len(lr), 7), 0.5)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    base = str(write_base(tmp_path_factory.mktemp("cost") / "base"))

    def build(attach, config, **options):
        loaded = load_base(base)
        adapter = attach(loaded.unet, loaded.vae, config, 0)
        routes = isinstance(config, MoRConfig)
        options = (MixtureOptions if routes else OneStepOptions)(base=base, **options)
        adapter.for_inference(merge=options.merge)
        estimator = Half() if routes else None
        return OneStepMethod(loaded, adapter, options, Runtime(4), 249, lambda image, lr: "", estimator)

    return build


def counted(method, side):
    """What one restoration multiplies; the counter knows plain attention, not every fused kernel."""
    with sdpa_kernel([SDPBackend.MATH]):
        return count_macs(lambda: method.restore(torch.rand(3, side, side), image="x", seed=0))


DENSE, WITH_CONV_IN = DenseConfig(rank=3, train_conv_in=False), DenseConfig(rank=3)


@pytest.fixture(scope="module")
def bare(build):
    """What the base costs at a size and tile: counted once, as no adapter takes part in it."""
    return cache(lambda side, tile: build(attach_dense, DENSE, tile=tile, overlap=tile // 4).base_cost(side, side))


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize(("attach", "config"), [(attach, CONFIG), (attach_dense, DENSE), (attach_dense, WITH_CONV_IN)])
@pytest.mark.parametrize(("side", "tile"), [(12, 96), (24, 16)])
def test_a_restoration_multiplies_what_its_cost_says(build, bare, attach, config, merge, side, tile):
    method = build(attach, config, merge=merge, tile=tile, overlap=tile // 4)
    said = method.cost(side, side).macs
    method.adapter.for_inference(merge=merge)  # forget: an image that is routed as the last one is not folded again
    assert counted(method, side) == said
    base = bare(side, tile)
    if not merge:
        assert said > base.total and said - base.total == method.adapter.macs(base.positions)
    elif attach is attach_dense:
        assert said == base.total


def test_active_macs_are_base_plus_active_ranks_times_their_cost(build):
    method = build(attach, CONFIG, merge=False)
    whole, trace = counted(method, 12), method.adapter.traces()[0]
    cost, parameters = method.base_cost(12, 12), method.adapter.parameters()
    by_hand = sum(
        active * cost.positions[name] * (parameters[f"{name}.A"][0].numel() + parameters[f"{name}.B"].shape[1])
        for name, active in zip(trace.layers, trace.active, strict=True)
    )
    assert len(set(trace.active)) > 1 and whole == cost.total + by_hand


@pytest.mark.parametrize("merge", [True, False])
def test_every_image_comes_with_the_cost_of_its_own_active_experts(build, merge):
    """Folded too, where that many were on, but ran as one weight."""
    method = build(attach, CONFIG, merge=merge, tile=12, overlap=4)
    trace = method.restore(torch.rand(3, 20, 20), image="x", seed=0).trace
    assert trace.macs == method.adapter.macs(method.base_cost(20, 20).positions) > 0
    assert trace.params == method.adapter.active_parameters()
    assert not hooks_of(method)


def hooks_of(method):
    return [m for model in (method.base.unet, method.base.vae) for m in model.modules() if m._forward_hooks]


def test_an_image_that_fails_leaves_no_hook_behind(build):
    method = build(attach, CONFIG)
    with torch.no_grad():
        method.base.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        method.restore(torch.rand(3, 12, 12), image="x", seed=0)
    assert not hooks_of(method)
    with (
        pytest.raises(AttributeError),
        count_positions({"unet": method.base.unet}, [method.adapter.layers[-1], "unet.none"]),
    ):
        pass
    assert not hooks_of(method)


@pytest.fixture(scope="module")
def sd21():
    """SD 2.1 on the meta device with MoR attached, its routers on the CPU, and what the bare base costs."""
    configs = sd21_configs()
    vae, unet = build_models(*configs)
    adapter = attach(unet, vae, MoRConfig(router_std=3.0), 0)
    routers = unet.get_submodule("mor_router").to_empty(device="cpu")
    drawn = RouterBank(len(adapter.layers), adapter.config, torch.device("cpu"), torch.Generator().manual_seed(0))
    routers.load_state_dict(drawn.state_dict())
    pixels, latents = torch.empty(1, 3, 512, 512, device="meta"), torch.empty(1, 4, 64, 64, device="meta")
    context = torch.empty(1, 77, 1024, device="meta")

    def count():
        t = torch.zeros(1, device="meta")
        encoder = count_macs(lambda: vae.encode(pixels))
        return encoder + count_macs(lambda: unet(latents, t, encoder_hidden_states=context))

    steering = next(module.steering for module in unet.modules() if isinstance(module, MoRLayer))
    return adapter, steering, count, base_cost(*configs, (512, 512), 96, 32, 77)


def to_meta(steering):
    """The routing is decided; now it goes where the networks are."""
    for name in ("gates", "rows", "row_gates"):
        tensor = getattr(steering, name)
        setattr(steering, name, None if tensor is None else tensor.to("meta"))


def test_sd21_with_mor_on_the_meta_device(sd21):
    adapter, steering, count, cost = sd21
    severity = torch.rand(1, 7, generator=torch.Generator().manual_seed(0))
    bare = cost.encoder + cost.unet
    adapter.set_enabled(False)
    assert count() == bare
    adapter.set_enabled(True)
    parameters = adapter.parameters()
    rank = {n: parameters[f"{n}.A"][0].numel() + parameters[f"{n}.B"].shape[1] for n in adapter.layers}
    adapter.run_as("masked")
    adapter.route(severity)
    to_meta(steering)
    assert count() - bare == 40 * sum(cost.positions[name] * rank[name] for name in adapter.layers)
    adapter.run_as("gathered")
    adapter.route(severity)
    to_meta(steering)
    trace = adapter.traces()[0]
    assert len(trace.active) == 290 and 8 <= min(trace.active) < max(trace.active) <= 16
    active = sum(k * cost.positions[name] * rank[name] for name, k in zip(trace.layers, trace.active, strict=True))
    assert count() == bare + active and adapter.macs(cost.positions) == active


def test_sd21_macs_at_512():
    cost = base_cost(*sd21_configs(), (512, 512), 96, 32, 77)
    for macs, published in ((cost.encoder, 558.3), (cost.unet, 402.1), (cost.decoder, 1257.3)):
        assert macs / 1e9 == pytest.approx(published, rel=1e-3)
    assert cost.positions["unet.conv_in"] == 64 * 64
    assert cost.positions["vae.encoder.conv_in"] == 512 * 512
    assert len(cost.positions) == 258 + 32


@pytest.mark.slow
def test_the_parts_of_osediffs_published_2265_g():
    """What docs/metrics.md says of them: the prompt's networks, and attention products that some counters leave out."""
    import timm
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import CLIPTextConfig, CLIPTextModel

    text = CLIPTextConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16)
    with torch.device("meta"):
        encoder = CLIPTextModel(text).eval()
        swin = timm.create_model("swin_large_patch4_window12_384", num_classes=0).eval()
        tokens, photo = torch.zeros(1, 77, dtype=torch.long), torch.empty(1, 3, 384, 384)
        pixels, latents, embedding = torch.empty(1, 3, 512, 512), torch.empty(1, 4, 64, 64), torch.empty(1, 77, 1024)
    assert count_macs(lambda: encoder(tokens)) / 1e9 == pytest.approx(22.6, abs=0.05)
    assert count_macs(lambda: swin(photo)) / 1e9 == pytest.approx(103.9, abs=0.05)
    vae, unet = build_models(*sd21_configs())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vae.encode(pixels)
        unet(latents, torch.zeros(1, device="meta"), encoder_hidden_states=embedding)
        vae.decode(latents)
    products = counter.get_flop_counts()["Global"][torch.ops.aten.bmm]
    assert counter.get_total_flops() / 2e9 == pytest.approx(2217.7, abs=0.05)
    assert products / 2e9 == pytest.approx(97.4, abs=0.05)


def test_tiled_unet_costs_one_unet_a_tile():
    vae, unet = models()
    whole = base_cost(vae.config, unet.config, (64, 64), 16, 4, 3)
    tiled = base_cost(vae.config, unet.config, (64, 112), 16, 4, 3)
    assert tiled.unet == 2 * whole.unet
    assert tiled.positions["unet.conv_in"] == 2 * whole.positions["unet.conv_in"]
