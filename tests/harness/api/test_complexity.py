"""MACs against counts by hand; time and memory of methods with a known cost.

Published MACs are in tests/methods/onestep/infer/test_cost.py.
"""

import mmap
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from isrbench.harness.api.complexity import count_macs, count_parameters, measure
from isrbench.harness.errors import UserError


def test_convolution_by_hand():
    conv = nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2, device="meta")
    x = torch.empty(2, 6, 10, 14, device="meta")
    assert count_macs(lambda: conv(x)) == 2 * (5 * 7) * 8 * (6 // 2) * 9


def test_transposed_convolution_by_hand():
    conv = nn.ConvTranspose2d(4, 3, 2, stride=2, device="meta")
    assert count_macs(lambda: conv(torch.empty(1, 4, 5, 6, device="meta"))) == 5 * 6 * 4 * 3 * 4


def test_linear_and_products_by_hand():
    linear = nn.Linear(7, 11, device="meta")
    a, b = torch.empty(3, 4, 5, device="meta"), torch.empty(3, 5, 6, device="meta")
    assert count_macs(lambda: linear(torch.empty(2, 9, 7, device="meta"))) == 2 * 9 * 7 * 11
    assert count_macs(lambda: a @ b) == 3 * 4 * 5 * 6


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_attention_by_hand(device):
    batch, heads, queries, keys, width = 2, 3, 10, 12, 8
    q = torch.zeros(batch, heads, queries, width, device=device)
    k, v = (torch.zeros(batch, heads, keys, width, device=device) for _ in range(2))
    macs = count_macs(lambda: functional.scaled_dot_product_attention(q, k, v))
    assert macs == 2 * batch * heads * queries * keys * width


@torch.no_grad()
def test_attention_that_torch_would_fuse_by_hand():
    """In evaluation torch takes a path that its counter does not see into: all of it would cost nothing."""
    tokens, width, hidden = 64, 16, 32
    layer = nn.TransformerEncoderLayer(width, 2, hidden, batch_first=True).eval()
    attention = nn.MultiheadAttention(width, 2, batch_first=True).eval()
    x = torch.zeros(1, tokens, width)
    of_attention = 4 * tokens * width**2 + 2 * tokens**2 * width
    assert count_macs(lambda: attention(x, x, x, need_weights=False)) == of_attention
    assert count_macs(lambda: attention(x, x, x)) == of_attention
    of_layer = of_attention + 2 * tokens * width * hidden
    assert count_macs(lambda: layer(x)) == of_layer
    stack = nn.TransformerEncoder(layer, 3).eval()
    assert count_macs(lambda: stack(x, src_key_padding_mask=torch.zeros(1, tokens, dtype=torch.bool))) == 3 * of_layer
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_fused_path_is_back_after_a_pass_that_fails():
    with pytest.raises(ZeroDivisionError):
        count_macs(lambda: 1 / 0)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_packed_weights_are_found_out():
    """A quantized layer has no parameters, and its kernel no formula: alone it would cost nothing."""
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    packed = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(UserError, match="Sequential ran"):
        count_macs(lambda: packed(torch.zeros(2, 8)))


class Weighing(nn.Module):
    """Has a matrix of weights, and gives it and the input to a function."""

    def __init__(self, function):
        super().__init__()
        self.weight, self.function = nn.Parameter(torch.ones(4, 4)), function

    def forward(self, x):
        return self.function(x, self.weight)


@torch.library.custom_op("isrbench_tests::product", mutates_args=())
def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A kernel that no counter has a formula for."""
    return x @ weight


UNSEEN = {
    "LSTM": lambda: nn.LSTM(4, 5),
    "Bilinear": lambda: _Doubled(nn.Bilinear(4, 4, 6)),
    "a custom kernel": lambda: Weighing(product),
    "a custom kernel of a copy": lambda: Weighing(lambda x, weight: product(x.relu(), weight.T.contiguous()).relu()),
    "NumPy": lambda: Weighing(lambda x, weight: torch.from_numpy(x.numpy() @ weight.detach().numpy())),
}


class _Doubled(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x, x)


@pytest.mark.parametrize("name", UNSEEN)
def test_a_module_whose_work_is_not_seen_is_refused_by_its_class(name):
    module = UNSEEN[name]()
    with pytest.raises(UserError, match=f"cannot be counted: {type(module).__name__} ran") as refused:
        count_macs(lambda: module(torch.zeros(3, 4)))
    assert refused.value.fix
    whole = nn.Sequential(nn.Linear(4, 4), module)
    with pytest.raises(UserError, match=f"cannot be counted: {type(module).__name__} ran"):
        count_macs(lambda: whole(torch.zeros(3, 4)))


NOTHING = {
    "a table": (lambda: nn.Embedding(5, 4), torch.zeros(2, 3, dtype=torch.long)),
    "a normalisation": (lambda: nn.LayerNorm((3, 4)), torch.zeros(2, 3, 4)),
    "a factor for every pixel": (lambda: Weighing(lambda x, weight: x * weight + weight), torch.zeros(2, 4, 4)),
    "an offset for some": (lambda: Weighing(lambda x, weight: x + weight[:, [0, 3]].T), torch.zeros(2, 4)),
    "a choice by elementwise products": (
        lambda: Weighing(lambda x, weight: (x * weight[0]).sort(dim=-1).values.topk(3).values),
        torch.zeros(2, 4),
    ),
    "a vector": (lambda: nn.PReLU(4), torch.zeros(2, 4, 3)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_weights_that_the_field_does_not_count_are_not_refused(name):
    make, x = NOTHING[name]
    assert count_macs(lambda: make()(x)) == 0
    product = Weighing(lambda x, weight: x.flatten()[None, :4] @ weight)
    assert count_macs(lambda: nn.Sequential(make(), product)(x)) == 4 * 4


def test_a_module_that_was_counted_once_may_do_nothing_the_next_time():
    """A counted module is not refused for a call in which it only looks something up outside of torch."""
    calls = iter([lambda x, weight: x @ weight, lambda x, weight: x])
    module = Weighing(lambda x, weight: next(calls)(x, weight))
    assert count_macs(lambda: module(module(torch.zeros(3, 4)))) == 3 * 4 * 4


def test_a_script_is_counted_and_refused_as_its_source_is():
    script = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)))
    assert count_macs(lambda: script(torch.zeros(1, 3, 8, 8))) == 6 * 6 * 4 * 3 * 9
    recurrent = torch.jit.script(nn.Sequential(nn.LSTM(4, 5)))
    with pytest.raises(UserError, match="RecursiveScriptModule ran"):
        count_macs(lambda: recurrent(torch.zeros(3, 4)))


@pytest.mark.parametrize("kind", ["causal", "masked", "biased", "half"])
def test_every_kind_of_attention_is_counted_whole(kind):
    batch, heads, queries, width = 2, 3, 10, 8
    q = torch.zeros(batch, heads, queries, width, dtype=torch.bfloat16 if kind == "half" else torch.float32)
    mask = {"masked": torch.ones(queries, queries, dtype=torch.bool), "biased": torch.zeros(queries, queries)}
    how = {"attn_mask": mask.get(kind), "is_causal": kind == "causal"}
    macs = count_macs(lambda: functional.scaled_dot_product_attention(q, q, q, **how))
    assert macs == 2 * batch * heads * queries**2 * width


def test_parameters_shared_tensors_count_once():
    one, two = nn.Linear(3, 4), nn.Linear(3, 4)
    two.weight = one.weight
    two.bias.requires_grad_(False)
    assert count_parameters(one, two) == (12 + 4 + 4, 12 + 4)


class Sleeper:
    """Takes a known time, more on the first call, and holds a known amount of memory."""

    def __init__(self, mib=0):
        self.mib, self.calls = mib, []

    def __call__(self, lr):
        self.calls.append(lr)
        time.sleep(0.5 if len(self.calls) == 1 else 0.02)
        # Straight from the system: an allocator may hand out what an earlier test left with the process.
        held = np.frombuffer(mmap.mmap(-1, max(self.mib, 1) << 20), np.uint8)
        held[:: mmap.PAGESIZE] = 1
        # Long enough for the watching thread to get its turn on a busy machine.
        time.sleep(0.2 if self.mib else 0)
        return held[:1]


def test_latency_leaves_the_warm_up_out():
    method = Sleeper()
    measured = measure(method, 8, 6, "cpu", warm_up=1, runs=3)
    assert 20 <= measured.latency_ms < 400
    assert measured.runs == 3 and len(method.calls) == 4
    assert all(lr.shape == (3, 8, 6) for lr in method.calls)
    # An image that was there before would let a routed method off its folding.
    assert len({tuple(lr.flatten().tolist()) for lr in method.calls}) == 4


def test_memory_on_the_cpu_sees_what_was_held():
    measured = measure(Sleeper(mib=200), 4, 4, "cpu", warm_up=1, runs=1)
    if measured.peak_mib is None:
        pytest.skip("the resident set is only known on Linux")
    assert 190 <= measured.peak_mib < 400


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_latency_and_memory_on_a_gpu():
    class OnGpu(Sleeper):
        def __call__(self, lr):
            held = torch.ones(100 << 18, device="cuda")
            for _ in range(50):
                held.mul_(1.0)
            return held[:1].cpu()

    measured = measure(OnGpu(), 8, 8, "cuda")
    assert 100 <= measured.peak_mib < 200
    assert 0 < measured.latency_ms < 1000
