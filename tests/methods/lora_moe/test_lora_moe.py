"""LoRA + MoE: whole LoRAs as experts, from the code of the mixture of ranks."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from isrbench.harness.errors import UserError
from isrbench.methods.lora_moe.adapter import LORA_MOE
from isrbench.methods.mor.adapter import MoRAdapter
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.mor.layers import Steering, wrap
from isrbench.methods.mor.router import RouterBank


class OneLayer(nn.Module):
    """The smallest model that an adapter can steer: a linear map and its router."""

    def __init__(self, config: MoRConfig) -> None:
        super().__init__()
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        self.steering = Steering()
        self.map = wrap(nn.Linear(6, 10), 0, self.steering, config, generator)
        self.mor_router = RouterBank(1, config, torch.device("cpu"), generator)
        nn.init.normal_(self.map.ranks.B)

    def adapter(self) -> MoRAdapter:
        return MoRAdapter({"unet": self}, {"unet.map": self.map}, self.steering)


CONFIG = replace(LORA_MOE, router_std=2.0)


def test_it_is_the_shared_lora_plus_the_gated_one_that_was_picked() -> None:
    model = OneLayer(CONFIG)
    adapter, severity, x = model.adapter(), torch.rand(16, 7), torch.randn(16, 5, 6)
    logits = severity @ model.mor_router.weight[:, 0] + model.mor_router.bias[0]
    chosen = logits.argmax(-1)
    assert len(set(chosen.tolist())) > 1, "images differ in the LoRA they pick"
    a, b = model.map.ranks.A, model.map.ranks.B
    expected = []
    for image, expert in enumerate(chosen.tolist()):
        rows = slice(8 + 8 * expert, 16 + 8 * expert)
        gate = 4 * torch.softmax(logits[image], -1)[expert]
        branch = F.linear(x[image], a[:8]) @ b[:8] + gate * (F.linear(x[image], a[rows]) @ b[rows])
        expected.append(model.map.base(x[image]) + 0.5 * branch)
    for execution in ("masked", "gathered"):
        adapter.run_as(execution)
        adapter.route(severity)
        torch.testing.assert_close(model.map(x), torch.stack(expected), atol=1e-4, rtol=1e-5)
    adapter.run_as("folded")
    adapter.route(severity[:1])
    torch.testing.assert_close(model.map(x[:1]), expected[0][None], atol=1e-4, rtol=1e-5)


def test_sixteen_ranks_are_active_whatever_is_picked() -> None:
    adapter = OneLayer(CONFIG).adapter()
    adapter.route(torch.rand(8, 7))
    assert {trace.active for trace in adapter.traces()} == {(16,)}
    assert {trace.zero for trace in adapter.traces()} == {(0,)}
    assert adapter.macs({"unet.map": 5}) == 16 * 5 * (6 + 10)


def test_the_task_loss_trains_the_router_although_k_is_one() -> None:
    model = OneLayer(CONFIG)
    adapter = model.adapter()
    adapter.route(torch.rand(4, 7))
    model.map(torch.randn(4, 6)).square().mean().backward()
    assert model.mor_router.weight.grad is not None and model.mor_router.weight.grad.abs().sum() > 0


def test_its_budget_equals_that_of_mor_and_its_config_goes_through_json() -> None:
    assert (LORA_MOE.budget, LORA_MOE.ranks) == (MoRConfig().budget, MoRConfig().ranks) == (16, 40)
    assert MoRConfig(**json.loads(json.dumps(asdict(CONFIG)))) == CONFIG
    with pytest.raises(UserError, match="top_k is 5, but there are only 4"):
        replace(LORA_MOE, top_k=5)
