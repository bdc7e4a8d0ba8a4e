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
