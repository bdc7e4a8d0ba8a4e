"""Routing, gates, the balance loss and the config: mixtures of ranks before any network runs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.methods.mor.balance import balance_loss
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.mor.router import RouterBank, Routing, gates, pick


def bank(layers: int = 5, seed: int = 0, **choices: object) -> RouterBank:
    config = MoRConfig(**{"router_std": 1.0, **choices})
    return RouterBank(layers, config, torch.device("cpu"), torch.Generator().manual_seed(seed))


def severities(images: int, seed: int = 0) -> Tensor:
    return torch.rand(images, 7, generator=torch.Generator().manual_seed(seed))


@st.composite
def probability_rows(draw: st.DrawFn) -> tuple[Tensor, int, int]:
    """(rows (B, N), k, n): rows sum to 1, with many ties."""
    targets = draw(st.integers(1, 12))
    row = st.lists(st.integers(0, 4), min_size=targets, max_size=targets)
    logits = torch.tensor(draw(st.lists(row, min_size=1, max_size=4)), dtype=torch.float32)
    return torch.softmax(logits, -1), draw(st.integers(1, targets)), draw(st.integers(1, targets))


@settings(max_examples=200, deadline=None)
@given(probability_rows())
def test_pick_is_the_brute_force_top_k_with_ties_to_the_lower_index(case: tuple[Tensor, int, int]) -> None:
    rows, k, _ = case
    for row, picked in zip(rows.tolist(), pick(rows, k).tolist(), strict=True):
        assert picked == sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]


@settings(max_examples=200, deadline=None)
@given(probability_rows())
def test_gates_and_counts(case: tuple[Tensor, int, int]) -> None:
    rows, k, experts = case
    picked = pick(rows, k)
    routing = Routing(rows[:, None], picked[:, None], gates(rows, picked, experts, "topk")[:, None])
    for b, row in enumerate(rows.tolist()):
        chosen = picked[b].tolist()
        total = sum(row[i] for i in chosen)
        expected = [row[i] * k / total if i in chosen else 0.0 for i in range(experts)]
        assert routing.gates[b, 0].tolist() == pytest.approx(expected, rel=1e-5)
        assert routing.experts[b, 0] == sum(i < experts for i in chosen)
        assert routing.zeros[b, 0] == sum(i >= experts for i in chosen)
        if routing.zeros[b, 0] == 0:
            assert float(routing.gates[b].sum()) == pytest.approx(k, rel=1e-5), "gates of k real experts sum to k"


def test_the_three_gate_normalisations_by_hand() -> None:
    rows = torch.tensor([[0.5, 0.2, 0.2, 0.1]])
    picked = pick(rows, 2)
    assert picked.tolist() == [[0, 1]]
    assert gates(rows, picked, 3, "none")[0].tolist() == pytest.approx([0.5, 0.2, 0])
    assert gates(rows, picked, 3, "all")[0].tolist() == pytest.approx([2.0, 0.8, 0])
    assert gates(rows, picked, 3, "topk")[0].tolist() == pytest.approx([10 / 7, 4 / 7, 0])
    uniform = torch.full((1, 36), 1 / 36)
    for norm in ("topk", "all"):
        assert gates(uniform, pick(uniform, 8), 32, norm)[0, :8].tolist() == pytest.approx([1.0] * 8)


def test_routing_of_an_image_does_not_depend_on_its_batch_to_the_last_bit() -> None:
    router, batch = bank(layers=290), severities(17)
    together = router(batch)
    with torch.autocast("cpu", torch.bfloat16):
        cast = router(batch)
    backwards = router(batch.flip(0))
    for image in range(len(batch)):
        alone = router(batch[image : image + 1])
        for field in ("probabilities", "picked", "gates"):
            own = getattr(alone, field)[0]
            assert torch.equal(own, getattr(together, field)[image])
            assert torch.equal(own, getattr(cast, field)[image])
            assert torch.equal(own, getattr(backwards, field)[-1 - image])


def test_the_bank_is_one_linear_router_a_layer() -> None:
    router, batch = bank(), severities(4)
    torch.nn.init.normal_(router.bias)
    routing = router(batch)
    for layer in range(5):
        logits = batch @ router.weight[:, layer] + router.bias[layer]
        torch.testing.assert_close(routing.probabilities[:, layer], torch.softmax(logits, -1))


def test_the_router_stays_float32_and_exact_through_casts() -> None:
    router = bank()
    exact = router.weight.detach().clone()
    router.half()
    router.to(torch.bfloat16)
    assert router.weight.dtype == torch.float32
    assert torch.equal(router.weight, exact)
    assert router.to("meta").weight.device.type == "meta"


def test_balance_loss_by_hand() -> None:
    # N = 3 targets, the last a zero slot; k = 1; two images of severity 0.2 and 0.8 in one layer.
    probabilities = torch.tensor([[[0.7, 0.1, 0.2]], [[0.1, 0.3, 0.6]]])
    picked = pick(probabilities, 1)
    routing = Routing(probabilities, picked, gates(probabilities, picked, 2, "topk"))
    severity = torch.tensor([[0.2] * 7, [0.8] * 7])
    # Loads f = 3/2 * (1, 0, 1); mean p of expert 0 = 0.4; zero slot: (0.2 + 0.6) / 2 or (0.04 + 0.48) / 2.
    assert float(balance_loss(routing, severity, 2.0, "uniform")) == pytest.approx(2 * 1.5 * (0.4 + 0.4))
    assert float(balance_loss(routing, severity, 2.0, "degradation")) == pytest.approx(2 * 1.5 * (0.4 + 0.26))


def test_parts_of_a_step_with_its_whole_load_average_to_its_balance_loss() -> None:
    router, batch = bank(layers=3), severities(6)
    whole = router(batch)
    parts = [(router(part), part) for part in batch.split(2)]
    hits = torch.stack([routing.hits for routing, _ in parts]).sum(0)
    assert torch.equal(hits, whole.hits) and torch.equal(hits.sum(-1), torch.full((3,), 6.0 * whole.picked.shape[-1]))
    for kind in ("uniform", "degradation"):
        expected = balance_loss(whole, batch, 1.0, kind).item()
        together = [balance_loss(routing, part, 1.0, kind, hits).item() for routing, part in parts]
        alone = [balance_loss(routing, part, 1.0, kind).item() for routing, part in parts]
        assert sum(together) / 3 == pytest.approx(expected, rel=1e-6)
        assert sum(alone) / 3 != pytest.approx(expected, rel=1e-3)


def test_balance_loss_is_averaged_over_layers_and_is_alpha_for_a_uniform_router() -> None:
    router, batch = bank(layers=3), severities(6)
    routing = router(batch)
    each = []
    for i in range(3):
        layer = Routing(routing.probabilities[:, [i]], routing.picked[:, [i]], routing.gates[:, [i]])
        each.append(balance_loss(layer, batch, 1, "degradation").item())
    assert balance_loss(routing, batch, 1, "degradation").item() == pytest.approx(sum(each) / 3, rel=1e-6)
    torch.nn.init.zeros_(router.weight)
    assert float(balance_loss(router(batch), batch, 0.5, "uniform")) == pytest.approx(0.5, rel=1e-6)


def test_balance_gradient_reaches_weight_and_bias_and_not_the_load() -> None:
    router, batch = bank(), severities(6)
    balance_loss(router(batch), batch, 1.0, "degradation").backward()
    for parameter in (router.weight, router.bias):
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0


@pytest.fixture(scope="module")
def by_balance_alone() -> tuple[Tensor, Tensor]:
    """1,000 Adam steps on the balance loss only: layer 0 on the degradation-aware one, eight more on the conventional.

    Layers share nothing but the images. Returns severity (600,) and active experts (600, 9) of new images.
    """
    router = bank(9, 0, router_std=0.02)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(router.parameters(), lr=1e-2)
    for _ in range(1000):
        severity = torch.rand(16, 1, generator=generator).expand(16, 7)
        optimizer.zero_grad()
        drawn = router(severity)
        first, others = (
            Routing(drawn.probabilities[:, layers], drawn.picked[:, layers], drawn.gates[:, layers])
            for layers in (slice(0, 1), slice(1, 9))
        )
        loss = balance_loss(first, severity, 1.0, "degradation") + balance_loss(others, severity, 1.0, "uniform")
        loss.backward()
        optimizer.step()
    severity = torch.rand(600, 1, generator=generator)
    with torch.no_grad():
        active = router.config.shared + router(severity.expand(600, 7)).experts
    return severity[:, 0], active.float()


def test_degradation_aware_balance_gives_degraded_images_more_experts(by_balance_alone: tuple[Tensor, Tensor]) -> None:
    severity, active = by_balance_alone
    assert spearmanr(active[:, 0], severity)[0] == pytest.approx(0.89, abs=0.03)
    assert float(active[severity < 1 / 3, 0].mean()) == pytest.approx(12.0, abs=0.2)
    assert float(active[severity > 2 / 3, 0].mean()) == pytest.approx(16.0, abs=0.2)


def test_conventional_balance_gives_no_such_order(by_balance_alone: tuple[Tensor, Tensor]) -> None:
    severity, active = by_balance_alone[0], by_balance_alone[1][:, 1:]
    gaps = active[severity > 2 / 3].mean(0) - active[severity < 1 / 3].mean(0)
    assert abs(float(gaps.mean())) < 1, "4 with the degradation-aware loss"
    assert float(gaps.min()) < 0, "its order, where a layer has one, is chance"


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"top_k": 37}, "top_k is 37, but there are only 36"),
        ({"routed": 0}, "routed is 0"),
        ({"shared": -1}, "shared is -1"),
        ({"shared": 8.0}, "shared is 8.0"),
        ({"top_k": True}, "top_k is True"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"balance_alpha": -1.0}, "balance_alpha"),
        ({"gate_norm": "softmax"}, "gate_norm is 'softmax'"),
        ({"balance": "fair"}, "balance is 'fair'"),
    ],
)
def test_choices_that_do_not_fit_are_refused(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(UserError, match=word):
        MoRConfig(**wrong)


def test_config_goes_through_json() -> None:
    config = replace(MoRConfig(), zero_slots=0, init_std=0.1)
    assert MoRConfig.from_json(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(UserError, match="unknown name 'ranks'"):
        MoRConfig.from_json({"ranks": 40})


def test_sizes_of_the_papers_configuration() -> None:
    config = MoRConfig()
    assert (config.ranks, config.targets, config.budget) == (40, 36, 16)


@pytest.mark.parametrize("norm", ["topk", "all", "none"])
def test_a_fixed_number_picks_the_most_probable_experts_and_no_zero_slot(norm: str) -> None:
    routers = bank(gate_norm=norm)
    free = routers(severities(6))
    for experts in (0, 1, 5, 8):
        fixed = routers(severities(6), experts)
        assert torch.equal(fixed.probabilities, free.probabilities)
        order = torch.sort(free.probabilities[..., :32], dim=-1, descending=True, stable=True).indices
        assert torch.equal(fixed.picked, order[..., :experts])
        assert (fixed.experts == experts).all() and (fixed.zeros == 0).all()
        assert torch.isfinite(fixed.gates).all() and ((fixed.gates > 0).sum(-1) == experts).all()
        if norm == "topk" and experts:
            assert torch.allclose(fixed.gates.sum(-1), torch.tensor(float(experts)), rtol=1e-5)
    # Where an image picks no zero slot of itself, fixing the full number changes nothing.
    full, whole = free.zeros == 0, routers(severities(6), 8)
    assert full.any() and torch.equal(whole.gates[full], free.gates[full])
