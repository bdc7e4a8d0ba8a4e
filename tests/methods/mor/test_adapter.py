"""The mixture-of-ranks adapter on a small Stable-Diffusion-like UNet and VAE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import peft
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.methods.mor.adapter import MoRAdapter, attach
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.mor.layers import MoRLayer
from isrbench.methods.onestep.base.targets import in_order, unet_targets, vae_targets

CONFIG = MoRConfig(router_std=1.0)


def base(seed: int = 0, width: int = 16) -> tuple[UNet2DConditionModel, AutoencoderKL]:
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(width, width),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=8,
        norm_num_groups=8,
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    )
    return unet.eval(), vae.eval()


def inputs(images: int) -> tuple[Tensor, Tensor]:
    """Pixels (B, 3, 16, 16) and prompt embeddings."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(images, 3, 16, 16, generator=generator), torch.randn(images, 4, 8, generator=generator)


def severities(images: int) -> Tensor:
    return torch.rand(images, 7, generator=torch.Generator().manual_seed(2))


def restore(unet: nn.Module, vae: Any, images: int = 3, rows: slice = slice(None)) -> Tensor:
    pixels, prompt = inputs(images)
    latent = vae.encode(pixels[rows]).latent_dist.mode()
    return unet(latent, 999, encoder_hidden_states=prompt[rows]).sample


def attached(config: MoRConfig = CONFIG, *, trained: bool = True, seed: int = 0) -> tuple[Any, Any, MoRAdapter]:
    """A base with an adapter whose B is no longer zero."""
    unet, vae = base()
    adapter = attach(unet, vae, config, seed)
    if trained:
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for name, parameter in adapter.parameters().items():
                if name.endswith(".B"):
                    parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return unet, vae, adapter


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5 * float(expected.detach().abs().max()), rtol=0)


@torch.no_grad()
def test_freshly_attached_disabled_and_detached_equal_the_base_exactly() -> None:
    unet, vae = base()
    plain, names = restore(unet, vae), list(unet.state_dict())
    weights = {k: v.clone() for model in base() for k, v in model.state_dict().items()}
    adapter = attach(unet, vae, CONFIG, 0)
    for execution in ("masked", "gathered"):
        adapter.run_as(execution)
        adapter.route(severities(3))
        assert torch.equal(restore(unet, vae), plain)
    for parameter in adapter.parameters().values():
        parameter.normal_()
    assert not torch.equal(restore(unet, vae), plain)
    adapter.set_enabled(False)
    assert torch.equal(restore(unet, vae), plain)
    adapter.set_enabled(True)
    adapter.for_inference()
    for row in torch.rand(100, 1, 7):
        adapter.route(row)
    assert adapter.execution == "folded"
    adapter.detach()
    assert list(unet.state_dict()) == names
    assert all(torch.equal(v, weights[k]) for model in (unet, vae) for k, v in model.state_dict().items())
    assert torch.equal(restore(unet, vae), plain)
    attach(unet, vae, CONFIG, 0)


@torch.no_grad()
def test_executions_agree_and_the_choice_is_automatic() -> None:
    unet, vae, adapter = attached()
    batch = severities(3)
    adapter.route(batch)
    assert adapter.execution == "masked"
    masked = restore(unet, vae)
    adapter.for_inference()
    adapter.route(batch)
    assert adapter.execution == "gathered"
    close(restore(unet, vae), masked)
    for image in range(3):
        adapter.route(batch[image : image + 1])
        assert adapter.execution == "folded"
        close(restore(unet, vae, rows=slice(image, image + 1)), masked[image : image + 1])
    adapter.route(batch[:1].repeat(3, 1))
    assert adapter.execution == "folded", "tiles of one image"
    tiles = restore(unet, vae)
    adapter.run_as("gathered")
    adapter.route(batch[:1])
    close(restore(unet, vae), tiles)
    adapter.for_training()
    with pytest.raises(RuntimeError, match="route"):
        restore(unet, vae)
    assert all(layer.folded is None for layer in unet.modules() if isinstance(layer, MoRLayer))


@torch.no_grad()
@pytest.mark.parametrize("execution", ["masked", "gathered"])
def test_an_image_does_not_depend_on_its_batch(execution: Any) -> None:
    unet, vae, adapter = attached()
    adapter.run_as(execution)
    batch = severities(3)
    adapter.route(batch)
    together, traces = restore(unet, vae), adapter.traces()
    for image in range(3):
        adapter.route(batch[image : image + 1])
        assert adapter.traces() == traces[image : image + 1]
        close(restore(unet, vae, rows=slice(image, image + 1)), together[image : image + 1])


@torch.no_grad()
def test_a_mixed_batch_cannot_be_folded() -> None:
    _, _, adapter = attached()
    adapter.run_as("folded")
    with pytest.raises(ValueError, match="share one routing"):
        adapter.route(severities(2))


def test_gradients_reach_routers_and_ranks_and_no_base_weight() -> None:
    unet, vae, adapter = attached()
    adapter.route(severities(3))
    (restore(unet, vae).square().mean() + adapter.balance_loss()).backward()
    ours = adapter.parameters()
    for name, parameter in ours.items():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    others = [p for model in (unet, vae) for p in model.parameters() if all(p is not q for q in ours.values())]
    assert others and all(p.grad is None and not p.requires_grad for p in others)


def test_the_task_loss_alone_trains_the_routers() -> None:
    unet, vae, adapter = attached()
    adapter.route(severities(3))
    restore(unet, vae).square().mean().backward()
    gradient = adapter.parameters()["router.weight"].grad
    assert gradient is not None and gradient.abs().sum() > 0


def gradients(adapter: MoRAdapter, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    for parameter in adapter.parameters().values():
        parameter.grad = None
    loss().backward()
    return {name: p.grad.clone() for name, p in adapter.parameters().items() if p.grad is not None}


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    unet, vae, adapter = attached()
    unet.train()

    def loss() -> Tensor:
        adapter.route(severities(3))
        return restore(unet, vae).square().mean()

    plain = gradients(adapter, loss)
    unet.enable_gradient_checkpointing()
    again = gradients(adapter, loss)
    assert plain.keys() == again.keys() == adapter.parameters().keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, atol=1e-6, rtol=1e-4)


def regulariser(model: nn.Module, enabled: bool) -> None:
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.enable_adapters(enabled)


@pytest.mark.parametrize("first", ["regulariser", "adapter"])
def test_a_peft_regulariser_on_the_same_unet_is_switched_apart(first: str) -> None:
    lora = peft.LoraConfig(r=2, init_lora_weights=False)
    unet, vae = base()
    plain = restore(unet, vae).detach()
    torch.manual_seed(5)
    lora.target_modules = unet_targets(unet)
    peft.inject_adapter_in_model(lora, unet, "regulariser")
    alone = restore(unet, vae).detach()

    unet, vae = base()
    torch.manual_seed(5)
    lora.target_modules = unet_targets(unet)
    if first == "regulariser":
        peft.inject_adapter_in_model(lora, unet, "regulariser")
        adapter = attach(unet, vae, CONFIG, 0)
    else:
        adapter = attach(unet, vae, CONFIG, 0)
        lora.target_modules = [f"{name}.base" for name in unet_targets(unet)]
        peft.inject_adapter_in_model(lora, unet, "regulariser")
    with torch.no_grad():
        for name, parameter in adapter.parameters().items():
            if name.endswith(".B"):
                parameter.normal_(std=0.1)
    adapter.route(severities(3))
    results = {}
    for mor in (False, True):
        for reg in (False, True):
            adapter.set_enabled(mor)
            regulariser(unet, reg)
            results[mor, reg] = restore(unet, vae).detach()
    assert torch.equal(results[False, False], plain)
    torch.testing.assert_close(results[False, True], alone)
    assert not torch.allclose(results[True, False], plain) and not torch.allclose(results[True, True], alone)
    regulariser(unet, False)
    adapter.set_enabled(True)
    adapter.for_inference()
    adapter.route(severities(1))
    assert adapter.execution == ("folded" if first == "regulariser" else "gathered")
    with torch.no_grad():
        inferred = restore(unet, vae, rows=slice(0, 1))
    close(inferred, results[True, False][:1])


def test_both_are_trained_when_the_regulariser_goes_in_first() -> None:
    unet, vae = base()
    lora = peft.LoraConfig(r=2, init_lora_weights=False, target_modules=unet_targets(unet))
    peft.inject_adapter_in_model(lora, unet, "regulariser")
    adapter = attach(unet, vae, CONFIG, 0)
    adapter.route(severities(3))
    restore(unet, vae).square().mean().backward()
    trained = {name for name, p in unet.named_parameters() if p.grad is not None and p.requires_grad}
    assert {name for name in trained if "lora_" in name}, "the regulariser"
    assert all(p.requires_grad for p in adapter.parameters().values())
    assert all("lora_" in name or ".ranks." in name or name.startswith("mor_router") for name in trained)
    assert all(not name.endswith("base_layer.A") for name in adapter.parameters()), "names do not depend on it"


def positions(unet: Any, vae: Any, adapter: MoRAdapter) -> dict[str, int]:
    """Count output positions of every adapted module by watching one forward pass of one image."""
    seen: dict[str, int] = {}

    def watch(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, __: Any, y: Tensor) -> None:
            seen[name] = y[0, 0].numel() if y.ndim == 4 else y[0, ..., 0].numel()

        module.register_forward_hook(hook)

    for name in adapter.layers:
        part, _, module = name.partition(".")
        watch(name, {"unet": unet, "vae": vae}[part].get_submodule(module))
    restore(unet, vae, rows=slice(0, 1))
    return seen


@torch.no_grad()
def test_active_macs_are_base_plus_active_ranks_times_their_cost() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    def counted() -> int:
        with FlopCounterMode(display=False) as counter:
            restore(unet, vae, rows=slice(0, 1))
        return counter.get_total_flops() // 2

    unet, vae, adapter = attached()
    adapter.run_as("gathered")
    adapter.route(severities(1))
    run = counted()
    adapter.set_enabled(False)
    bare = counted()
    adapter.set_enabled(True)
    assert run - bare == adapter.macs(positions(unet, vae, adapter)) > 0
    trace = adapter.traces()[0]
    assert trace.layers == adapter.layers
    assert all(8 <= ranks == 16 - zero for ranks, zero in zip(trace.active, trace.zero, strict=True))
    assert len(set(trace.active)) > 1
    ranks = {name.removesuffix(".A"): p for name, p in adapter.parameters().items() if name.endswith(".A")}
    by_hand = sum(p.numel() for name, p in adapter.parameters().items() if name.startswith("router"))
    for name, active in zip(trace.layers, trace.active, strict=True):
        b = adapter.parameters()[f"{name}.B"]
        by_hand += active * (ranks[name][0].numel() + b.shape[1])
    assert adapter.active_parameters() == by_hand


@torch.no_grad()
def test_a_state_goes_to_another_instance_and_from_float16() -> None:
    unet, vae, adapter = attached()
    adapter.route(severities(3))
    expected, state = restore(unet, vae), adapter.state_dict()
    other_unet, other_vae, other = attached(trained=False, seed=9)
    other.load_state_dict(state)
    other.route(severities(3))
    assert torch.equal(restore(other_unet, other_vae), expected)
    assert list(other.state_dict()) == list(state)
    other.load_state_dict({name: tensor.half() for name, tensor in state.items()})
    assert other.parameters()["router.weight"].dtype == torch.float32
    state["router.weight"].zero_()
    assert adapter.parameters()["router.weight"].abs().sum() > 0, "a state is a copy"


def test_an_adapter_of_another_base_or_config_is_refused() -> None:
    state = attached()[2].state_dict()
    wider = attach(*base(width=24), CONFIG, 0)
    with pytest.raises(UserError, match=r"'unet\..*' is \("):
        wider.load_state_dict(state)
    with pytest.raises(UserError, match="router"):
        attached(replace(CONFIG, zero_slots=0))[2].load_state_dict(state)
    with pytest.raises(UserError, match=r"the adapter's state has no 'vae\.encoder\.conv_in\.A'"):
        attached()[2].load_state_dict({})


def test_attaching_twice_is_refused_and_leaves_the_first_alone() -> None:
    unet, vae, adapter = attached()
    with pytest.raises(UserError, match="already carries"):
        attach(unet, vae, CONFIG, 0)
    adapter.route(severities(3))
    restore(unet, vae)


def test_a_base_that_cannot_be_adapted_is_left_whole() -> None:
    unet, vae = base()
    unet.conv_out = nn.Conv2d(16, 4, 3, padding=1, groups=4)
    names = list(unet.state_dict())
    with pytest.raises(UserError, match="4 groups"):
        attach(unet, vae, CONFIG, 0)
    assert list(unet.state_dict()) == names
    assert not any(isinstance(module, MoRLayer) for model in (unet, vae) for module in model.modules())


def test_the_start_depends_on_the_seed_alone() -> None:
    one, same, other = (attached(trained=False, seed=seed)[2].state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["router.weight"], other["router.weight"])


def test_severity_of_another_shape_is_an_error() -> None:
    _, _, adapter = attached()
    for wrong in (None, torch.rand(7), torch.rand(2, 6)):
        with pytest.raises(ValueError, match=r"severity \(B, 7\)"):
            adapter.route(wrong)
    with pytest.raises(RuntimeError, match="route"):
        adapter.traces()


def test_layers_are_named_in_the_order_in_which_they_run() -> None:
    unet, vae, adapter = attached()
    adapter.route(severities(1))
    assert list(positions(unet, vae, adapter)) == list(adapter.layers)


def test_stable_diffusion_21_has_32_and_258_layers_on_the_meta_device() -> None:
    import json
    from pathlib import Path

    import isrbench.methods.onestep as onestep

    configs = Path(onestep.__file__).parent / "base" / "configs"
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(json.loads((configs / "unet_sd21.json").read_text()))
        vae = AutoencoderKL.from_config(json.loads((configs / "vae_sd21.json").read_text()))
    assert in_order(unet_targets(unet))[0] == "conv_in" and in_order(vae_targets(vae))[-1] == "quant_conv"
    adapter = attach(unet, vae, MoRConfig(), 0)
    assert sum(name.startswith("vae.") for name in adapter.layers) == 32
    assert sum(name.startswith("unet.") for name in adapter.layers) == 258
    # The dense LoRA of rank 4 has 4,055,712 + 369,356 parameters on the same modules; ours have 40 ranks.
    ranks = sum(p.numel() for name, p in adapter.parameters().items() if not name.startswith("router"))
    assert ranks == 10 * (4_055_712 + 369_356)
