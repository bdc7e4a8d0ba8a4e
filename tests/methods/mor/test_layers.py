"""One mixture-of-ranks layer: the three executions are the same mathematics, and the base is never touched."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import nn

from isrbench.harness.errors import UserError
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.mor.layers import MoRLayer, Steering, wrap

CONFIG = MoRConfig()
BATCH = 3

LAYERS = {
    "linear": (lambda: nn.Linear(12, 20), (BATCH, 5, 12)),
    "linear_no_bias_2d": (lambda: nn.Linear(12, 20, bias=False), (BATCH, 12)),
    "linear_4d": (lambda: nn.Linear(6, 9), (BATCH, 4, 3, 6)),
    "conv3x3": (lambda: nn.Conv2d(6, 10, 3, padding=1), (BATCH, 6, 9, 7)),
    "conv_stride2": (lambda: nn.Conv2d(6, 10, 3, stride=2), (BATCH, 6, 9, 8)),
    "conv1x1": (lambda: nn.Conv2d(6, 10, 1), (BATCH, 6, 5, 5)),
    "conv_dilated_same": (lambda: nn.Conv2d(6, 10, (3, 5), dilation=2, padding="same", bias=False), (BATCH, 6, 9, 9)),
    "conv_reflect": (lambda: nn.Conv2d(6, 10, 3, padding=1, padding_mode="reflect"), (BATCH, 6, 9, 9)),
}


def make(kind: str, config: MoRConfig = CONFIG, seed: int = 0) -> tuple[MoRLayer, torch.Tensor]:
    """A layer whose B is no longer zero, and an input for it."""
    torch.manual_seed(seed)
    build, shape = LAYERS[kind]
    layer = wrap(build(), 0, Steering(), config, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        layer.ranks.B.normal_()
    return layer, torch.randn(shape)


def random_gates(images: int, config: MoRConfig = CONFIG) -> torch.Tensor:
    """(images, 1, R) gates with a different set of ranks on in every image."""
    gates = torch.rand(images, 1, config.ranks) + 0.5
    for image in range(images):
        off = torch.randperm(config.ranks - config.shared)[: config.routed - 5 - image]
        gates[image, 0, config.shared + off] = 0
    return gates


def run(layer: MoRLayer, x: torch.Tensor, gates: torch.Tensor, execution: str) -> torch.Tensor:
    steering = layer.steering
    steering.execution = execution
    steering.gates = gates
    steering.rows = torch.sort((gates != 0).to(torch.int8), dim=-1, descending=True, stable=True).indices
    steering.row_gates = gates.gather(-1, steering.rows)
    steering.widths = tuple((gates != 0).sum(-1).amax(0).tolist())
    if execution == "folded":
        rows = gates[0, 0].nonzero()[:, 0]
        layer.fold(rows, gates[0, 0, rows], key=None)
    return layer(x)


@pytest.mark.parametrize("kind", LAYERS)
def test_zero_b_equals_the_base_exactly(kind: str) -> None:
    layer, x = make(kind)
    nn.init.zeros_(layer.ranks.B)
    for execution in ("masked", "gathered", "folded"):
        assert torch.equal(run(layer, x, random_gates(1), execution), layer.base(x))


# peft's A convolution ignores the base's dilation and padding mode.
@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind not in ("conv_dilated_same", "conv_reflect")])
def test_all_on_equals_a_dense_peft_lora_of_the_same_rank(kind: str) -> None:
    layer, x = make(kind)
    model = nn.Sequential(copy.deepcopy(layer.base))
    lora = peft.LoraConfig(r=CONFIG.ranks, lora_alpha=CONFIG.ranks * CONFIG.scale, target_modules=["0"])
    model = peft.inject_adapter_in_model(lora, model)
    a, b = model[0].lora_A["default"].weight, model[0].lora_B["default"].weight
    with torch.no_grad():
        a.copy_(layer.ranks.A)
        b.copy_(layer.ranks.B.t().reshape(b.shape))
    ours = run(layer, x, torch.full((1, 1, CONFIG.ranks), CONFIG.scale), "masked")
    theirs = model(x)
    assert (ours - layer.base(x)).abs().max() > 1
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.detach().abs().max()), rtol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_masked_gathered_and_folded_agree(kind: str) -> None:
    layer, x = make(kind)
    mixed = random_gates(BATCH)
    masked = run(layer, x, mixed, "masked")
    tolerance = 1e-5 * float(masked.detach().abs().max())
    torch.testing.assert_close(run(layer, x, mixed, "gathered"), masked, atol=tolerance, rtol=0)
    for image in range(BATCH):
        one = mixed[image : image + 1]
        for execution in ("folded", "gathered", "masked"):
            alone = run(layer, x[image : image + 1], one, execution)
            torch.testing.assert_close(alone, masked[image : image + 1], atol=tolerance, rtol=0)
        tiles = run(layer, x, one, "gathered")
        torch.testing.assert_close(run(layer, x, one, "folded"), tiles, atol=tolerance, rtol=0)


@pytest.mark.parametrize("kind", ["linear", "conv3x3", "conv1x1"])
def test_only_the_picked_rows_are_read(kind: str) -> None:
    layer, x = make(kind)
    gates = random_gates(1).repeat(BATCH, 1, 1)
    gates[1] = gates[1].roll(1)
    gates[1, 0, : CONFIG.shared + 1] = gates[0, 0, : CONFIG.shared + 1]
    assert len({int((image != 0).sum()) for image in gates}) == 1, "every image needs as many rows, so none is padding"
    with torch.no_grad():
        unused = (gates == 0).all(0)[0]
        assert unused.any()
        layer.ranks.A[unused] = float("nan")
    assert torch.isfinite(run(layer, x, gates, "gathered")).all()


@pytest.mark.parametrize("kind", LAYERS)
def test_a_hundred_folds_leave_the_base_bit_identical(kind: str) -> None:
    layer, x = make(kind)
    before = {name: tensor.clone() for name, tensor in layer.base.state_dict().items()}
    first = random_gates(1)
    result = run(layer, x, first, "folded")
    for _ in range(100):
        run(layer, x, random_gates(1), "folded")
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.base.state_dict().items())
    assert torch.equal(run(layer, x, first, "folded"), result)


def test_channels_last_folds_keep_the_format_and_the_values() -> None:
    layer, x = make("conv3x3")
    gates = random_gates(1)
    contiguous = run(layer, x, gates, "folded")
    layer.to(memory_format=torch.channels_last)
    last = run(layer, x.to(memory_format=torch.channels_last), gates, "folded")
    assert layer.folded is not None
    assert layer.folded.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, contiguous, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["linear", "conv_stride2"])
def test_half_bases_with_float32_ranks(kind: str, dtype: torch.dtype) -> None:
    layer, x = make(kind)
    with torch.no_grad():
        layer.ranks.B.mul_(0.1)
    gates = random_gates(1)
    exact = run(layer, x, gates, "masked")
    layer.base.to(dtype)
    for execution in ("masked", "gathered", "folded"):
        half = run(layer, x.to(dtype), gates, execution)
        assert half.dtype == dtype
        assert (half.float() - exact).abs().max() <= 8 * torch.finfo(dtype).eps * exact.abs().max()


def test_a_fold_made_in_inference_mode_can_be_written_again_outside() -> None:
    layer, x = make("linear")
    gates = random_gates(1)
    with torch.inference_mode():
        inside = run(layer, x, gates, "folded")
    run(layer, x, random_gates(1), "folded")
    assert torch.equal(run(layer, x, gates, "folded"), inside)


def test_gradients_of_gathered_equal_those_of_masked() -> None:
    for kind in ("linear", "conv_stride2"):
        layer, x = make(kind)
        gates = random_gates(BATCH)
        grads = []
        for execution in ("masked", "gathered"):
            layer.zero_grad()
            run(layer, x, gates, execution).square().mean().backward()
            grads.append([p.grad.clone() for p in (layer.ranks.A, layer.ranks.B) if p.grad is not None])
        for masked, gathered in zip(*grads, strict=True):
            torch.testing.assert_close(gathered, masked, atol=1e-4, rtol=1e-4)


def test_a_wrapped_layer_answers_for_its_base() -> None:
    layer, _ = make("conv3x3")
    assert layer.weight is layer.base.weight and layer.bias is layer.base.bias
    layer.base.to(torch.bfloat16)
    assert next(layer.parameters()).dtype == torch.bfloat16, "libraries ask the first parameter for the model's type"


def test_grouped_convolutions_and_foreign_layers_are_refused() -> None:
    for base, word in ((nn.Conv2d(4, 4, 3, groups=2), "2 groups"), (nn.ConvTranspose2d(4, 4, 3), "ConvTranspose2d")):
        with pytest.raises(UserError, match=word):
            wrap(base, 0, Steering(), CONFIG, torch.Generator())


def test_forward_before_a_route_and_a_batch_that_does_not_fit_are_errors() -> None:
    layer, x = make("linear")
    with pytest.raises(RuntimeError, match="route"):
        layer(x)
    with pytest.raises(ValueError, match="2 images, but the batch has 3"):
        run(layer, x, random_gates(2), "masked")
    layer.steering.enabled = False
    assert torch.equal(layer(x), layer.base(x))


def test_no_shared_rank_and_only_zero_slots_picked_is_the_base() -> None:
    layer, x = make("conv3x3", MoRConfig(shared=0))
    gates = torch.zeros(BATCH, 1, 32)
    for execution in ("masked", "gathered"):
        assert torch.equal(run(layer, x, gates, execution), layer.base(x))
