"""The wiring of a training step: who predicts what, which sign a loss has, what reaches the optimizers and the file."""

# ruff: noqa: F401, F811  (fixtures)
import dataclasses
from types import SimpleNamespace

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.text import TextEncoder
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.onestep.train import networks
from isrbench.methods.onestep.train.config import Losses
from isrbench.methods.onestep.train.curves import read_curves
from isrbench.methods.onestep.train.draws import Diffused, draw
from isrbench.methods.onestep.train.step import (
    Networks,
    discriminator_loss,
    generator_losses,
    regulariser_loss,
    run_micro_batch,
    vsd_direction,
)
from tests.support.training_world import (
    BALANCED,
    CPU,
    DENSE,
    a_batch,
    begin,
    gradients,
    light,
    run,
    same,
    state,
    trained,
    world,
)

POSITIVE, NEGATIVE = torch.ones(1, 1, 1), -torch.ones(1, 1, 1)
ABAR = 0.64
"""sqrt(abar) = 0.8, sqrt(1 - abar) = 0.6."""
NOISES = {("teacher", 1): 0.3, ("teacher", -1): -0.1, ("regulariser", 1): 0.5}
"""What the fake UNet predicts by part and prompt; anything else would show in every number."""


class FakeUNet:
    """Predicts one constant for each part that it plays, and lets the taps see its input."""

    def __init__(self):
        self.adapter_on, self.regulariser_on, self.tapped, self.passes = True, False, None, []

    def __call__(self, z, t, encoder_hidden_states):
        part = {(False, False): "teacher", (False, True): "regulariser"}.get((self.adapter_on, self.regulariser_on))
        if self.tapped is not None:
            assert part == "teacher"
            self.tapped.append(z)
        self.passes.append(part)
        noises = [NOISES.get((part, int(prompt.flatten()[0])), 1e3) for prompt in encoder_hidden_states]
        return SimpleNamespace(sample=torch.tensor(noises).view(-1, 1, 1, 1).expand_as(z))


class FakeVae:
    """Decodes everything to 2, encodes everything to 1."""

    config = {"scaling_factor": 1.0}  # noqa: RUF012
    dtype = torch.float32

    def decode(self, z):
        return SimpleNamespace(sample=torch.full((len(z), 3, 4, 4), 2.0) + 0 * z.sum())

    def encode(self, x):
        moments = torch.cat([torch.ones(len(x), 1, 2, 2), torch.zeros(len(x), 1, 2, 2)], dim=1)
        return SimpleNamespace(latent_dist=SimpleNamespace(parameters=moments))


class MeanHead(torch.nn.Module):
    """A discriminator whose logit is the mean of the feature."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, features):
        return [self.gain * feature.mean((1, 2, 3)) for feature in features]


class Taps:
    def __init__(self, unet):
        self.unet = unet

    def __enter__(self):
        self.unet.tapped = []
        return self.unet.tapped

    def __exit__(self, *_):
        self.unet.tapped = None


class Switch:
    """Stands for the adapter and for the regulariser of a fake UNet."""

    def __init__(self, unet):
        self.unet = unet

    def set_enabled(self, enabled):
        self.unet.adapter_on = enabled

    def enabled(self):
        unet = self.unet

        class On:
            def __enter__(self):
                unet.regulariser_on = True

            def __exit__(self, *_):
                unet.regulariser_on = False

        return On()


@pytest.fixture
def nets():
    unet = FakeUNet()
    base = DiffusionBase(FakeVae(), unet, torch.full((10,), ABAR), "epsilon", TextEncoder({"positive": POSITIVE}))
    return Networks(
        base=base, positive=POSITIVE, negative=NEGATIVE, adapter=Switch(unet), regulariser=Switch(unet),
        discriminator=MeanHead(), taps=Taps(unet), estimator=None, lpips=None, timestep=5,
    )  # fmt: skip


def noised(value):
    return Diffused(torch.tensor([3]), torch.full((1, 1, 2, 2), value))


DRAWS = SimpleNamespace(vsd=noised(0.1), features=noised(0.0), regulariser=noised(0.1))
OFF = {"l2": 0.0, "perceptual": 0.0, "vsd": 0.0, "gan": 0.0}
# Teacher's noise: -0.1 + 7.5 (0.3 + 0.1) = 2.9. x0_reg - x0_teacher = 0.75 (2.9 - 0.5) = 1.8.
# |z - x0_teacher| = |0.75 (2.9 - 0.1)| = 2.1 everywhere.
DIRECTION = 1.8 / 2.1


def test_vsd_direction_by_hand(nets):
    with nets.plain():
        direction = vsd_direction(nets, torch.full((1, 1, 2, 2), 0.7), DRAWS.vsd, 7.5)
        unguided = vsd_direction(nets, torch.full((1, 1, 2, 2), 0.7), DRAWS.vsd, 1.0)
    assert torch.allclose(direction, torch.full((1, 1, 2, 2), DIRECTION))
    assert nets.base.unet.passes == ["teacher", "regulariser"] * 2, "both prompts of the teacher are one pass"
    # Without guidance the teacher's noise is 0.3: 0.75 (0.3 - 0.5) / (0.75 (0.3 - 0.1)) = -1.
    assert torch.allclose(unguided, torch.full((1, 1, 2, 2), -1.0))


def test_vsd_in_the_generator_s_losses_asks_the_plain_unet(nets):
    z = torch.full((1, 1, 2, 2), 0.7, requires_grad=True)
    parts, features = generator_losses(nets, Losses(**OFF | {"vsd": 2.0}), z, torch.zeros(1, 3, 4, 4), DRAWS, 0)
    assert features is None and parts["vsd"].item() == pytest.approx(2 * DIRECTION**2)
    parts["vsd"].backward()
    assert torch.allclose(z.grad, torch.full_like(z, 2 * 2 * DIRECTION / 4))
    assert nets.base.unet.adapter_on and not nets.base.unet.regulariser_on


def test_the_regulariser_learns_as_the_regulariser(nets):
    z = torch.full((1, 1, 2, 2), 0.7)
    assert regulariser_loss(nets, z, DRAWS.regulariser).item() == pytest.approx((0.5 - 0.1) ** 2)
    velocity = dataclasses.replace(nets, base=dataclasses.replace(nets.base, prediction="v_prediction"))
    # v = 0.8 x 0.1 - 0.6 x 0.7 = -0.34.
    assert regulariser_loss(velocity, z, DRAWS.regulariser).item() == pytest.approx((0.5 + 0.34) ** 2)


def test_generator_and_discriminator_pull_in_opposite_directions(nets):
    z = torch.full((1, 1, 2, 2), -1.0, requires_grad=True)
    weights = Losses(**OFF | {"gan": 0.5})
    parts, features = generator_losses(nets, weights, z, torch.zeros(1, 3, 4, 4), DRAWS, 0)
    # The generated feature is 0.8 x -1, the real one 0.8 x 1; the generator's hinge is minus its logit.
    assert parts["gan"].item() == pytest.approx(0.5 * 0.8)
    parts["gan"].backward()
    assert (z.grad < 0).all() and nets.discriminator.gain.grad is None
    # Hinge: relu(1 - 0.8) + relu(1 - 0.8); with the two confused it were 1.8 + 1.8.
    loss = discriminator_loss(nets, weights, features)
    assert loss.item() == pytest.approx(0.4)
    loss.backward()
    assert nets.discriminator.gain.grad.item() == pytest.approx(-1.6)


def test_l2_and_lpips_by_hand(nets):
    nets = dataclasses.replace(nets, lpips=lambda x, y: (x - y).abs().mean())
    hr = torch.full((1, 3, 4, 4), 0.25)  # -0.5 on the decoder's scale; the decoder gives 2, which LPIPS sees as 1
    z = torch.zeros(1, 1, 2, 2, requires_grad=True)
    parts, features = generator_losses(nets, Losses(**OFF | {"l2": 1.0, "perceptual": 2.0}), z, hr, DRAWS, 0)
    assert features is None
    assert parts["l2"].item() == pytest.approx(6.25) and parts["perceptual"].item() == pytest.approx(2 * 1.5)


def test_lpips_is_loaded_where_it_is_asked_for(world, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "load_lpips", lambda device: lambda x, y: (x - y).abs().mean() * 0 + 0.25)
    losses = {"perceptual_kind": "lpips", "perceptual": 2.0}
    run(world, tmp_path, steps=1, losses=losses)
    assert read_curves(tmp_path / "curves.csv")["perceptual"] == [(1, 0.5)]


def test_severity_is_that_of_the_window_not_of_the_crop(world, tmp_path):
    one = begin(world, tmp_path)
    seen = []
    severity = one.nets.estimator.estimate
    watching = SimpleNamespace(estimate=lambda lr: seen.append(lr) or severity(lr), id="watching")
    one.nets = dataclasses.replace(one.nets, estimator=watching)
    batch = a_batch(window=12)
    gradients(one, batch)
    assert len(seen) == 1 and torch.equal(seen[0], batch.severity_window)
    probabilities = one.nets.adapter.routing.probabilities
    one.nets.adapter.route(severity(batch.severity_window))
    assert torch.equal(one.nets.adapter.routing.probabilities, probabilities)


def watched(one, look):
    """Call ``look(name, optimizer)`` before every optimizer step."""
    for name, optimizer in one.optimizers.items():
        optimizer.register_step_pre_hook(lambda o, args, kwargs, name=name: look(name, o))
    one.loop()


def grads_of(optimizer):
    return torch.cat([p.grad.flatten() for g in optimizer.param_groups for p in g["params"] if p.grad is not None])


def test_gradients_are_clipped_network_by_network(world, tmp_path):
    norms = {}
    watched(
        begin(world, tmp_path, steps=1, optim={"clip": 1e-3}),
        lambda name, optimizer: norms.update({name: float(grads_of(optimizer).norm())}),
    )
    assert norms.keys() == {"generator", "regulariser", "discriminator"}
    assert all(norm == pytest.approx(1e-3, rel=1e-2) for norm in norms.values()), norms


def test_learning_rates_reach_the_optimizers(world, tmp_path):
    rates = {"generator": [], "regulariser": [], "discriminator": []}
    optim = {"lr": 1e-3, "router_factor": 10.0, "lr_regulariser": 2e-3, "lr_discriminator": 3e-3, "warmup": 2}
    one = begin(world, tmp_path, optim=optim | {"schedule": "cosine"})
    routers = {id(p) for name, p in one.nets.adapter.parameters().items() if name.startswith("router.")}
    ranks, own = one.optimizers["generator"].param_groups
    assert {id(p) for p in own["params"]} == routers and not routers & {id(p) for p in ranks["params"]}
    watched(one, lambda name, o: rates[name].append([g["lr"] for g in o.param_groups]))
    factors = [0.5, 1.0, 1.0, 0.5]
    for name, peaks in (("generator", (1e-3, 1e-2)), ("regulariser", (2e-3,)), ("discriminator", (3e-3,))):
        expected = [[peak * factor for peak in peaks] for factor in factors]
        assert torch.allclose(torch.tensor(rates[name]), torch.tensor(expected)), name


def test_the_running_mean_is_what_is_saved(world, tmp_path):
    one = run(world, tmp_path)
    saved = load_adapter(tmp_path / "adapter.safetensors").state
    assert same(saved, one.mean.state_dict()) and not same(saved, one.nets.adapter.state_dict())
    plain = run(world, tmp_path / "plain", steps=1, optim={"ema": 0.0})
    assert same(load_adapter(tmp_path / "plain/adapter.safetensors").state, plain.nets.adapter.state_dict())


def test_the_discriminator_takes_part_from_its_start_on(world, tmp_path):
    one = begin(world, tmp_path, losses={"gan_start": 2})
    start = {name: value.clone() for name, value in one.nets.discriminator.state_dict().items()}
    one.loop()
    found = read_curves(tmp_path / "curves.csv")
    assert [at for at, _ in found["gan"]] == [3, 4] and [at for at, _ in found["discriminator"]] == [3, 4]
    before, after = (state(tmp_path, step) for step in (2, 4))
    assert same(before["discriminator"], start) and not before["optimizers"]["discriminator"]["state"]
    assert not same(after["discriminator"], start) and after["optimizers"]["discriminator"]["state"]


def test_accumulated_micro_batches_step_as_one_large_batch(world, tmp_path):
    found = {}
    for out, split in (("large", {"batch": 2}), ("small", {"batch": 1, "global_batch": 2})):
        grads = found[out] = {}
        one = begin(world, tmp_path / out, steps=1, optim={"clip": 1e9}, **BALANCED, **split)
        watched(one, lambda name, o, grads=grads: grads.update({name: grads_of(o)}))
    for name, gradient in found["large"].items():
        assert gradient.abs().sum() > 0
        assert torch.allclose(gradient, found["small"][name], rtol=1e-3, atol=1e-5), name
    large, small = (read_curves(tmp_path / out / "curves.csv") for out in ("large", "small"))
    assert large.keys() == small.keys()
    assert all(large[k][0][1] == pytest.approx(small[k][0][1], rel=1e-3, abs=1e-5) for k in large)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_autocast_is_for_the_networks_and_nothing_else(world, tmp_path, dtype):
    run(world, tmp_path / "full", steps=1)
    half = run(world, tmp_path / "half", steps=1, dtype=dtype)
    full, found = (read_curves(tmp_path / out / "curves.csv") for out in ("full", "half"))
    assert found.keys() == full.keys() and any(found[k] != full[k] for k in full)
    for name in full:
        assert found[name][0][1] == pytest.approx(full[name][0][1], rel=0.1, abs=2e-3), name
    moved = [p for ps in trained(half).values() for p in ps]
    assert {p.dtype for p in moved} == {torch.float32}
    states = [v for o in half.optimizers.values() for s in o.state.values() for v in s.values()]
    assert {v.dtype for v in states} == {torch.float32}
    assert {p.dtype for p in half.nets.base.unet.parameters()} == {torch.float32}


def test_gradient_checkpointing_with_a_dense_adapter_changes_no_gradient(world, tmp_path):
    kept, again = (
        gradients(begin(world, tmp_path / str(on), DENSE, gradient_checkpointing=on), a_batch()) for on in (False, True)
    )
    assert kept.keys() == {"generator", "discriminator", "regulariser"}
    for name, gradient in kept.items():
        assert gradient.abs().sum() > 0 and torch.allclose(gradient, again[name], atol=1e-6), name


def test_losses_of_a_micro_batch_are_logged_with_their_sum(world, tmp_path):
    one, batch = begin(world, tmp_path), a_batch()
    draws = draw(0, batch.items, one.latent, one.config.losses, CPU)
    found = run_micro_batch(one.nets, one.config.losses, batch, draws, 0, 1.0)
    parts = [found[name] for name in ("l2", "perceptual", "vsd", "gan", "balance")]
    assert torch.allclose(torch.stack(parts).sum(), found["generator"])


@pytest.mark.parametrize("routed_by", ["own", "constant", "next"])
def test_what_the_routers_see(routed_by, world, tmp_path):
    nets = begin(world, tmp_path, routed_by=routed_by).nets
    windows = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    own = nets.estimator.estimate(windows)
    assert len(own.unique(dim=0)) == 3
    wanted = {"own": own, "constant": torch.full_like(own, 0.5), "next": own[[1, 2, 0]]}
    assert torch.equal(nets.severity(windows), wanted[routed_by])


def test_the_next_image_s_severity_needs_a_next_image(world, tmp_path):
    with pytest.raises(UserError, match="two images in a micro-batch"):
        begin(world, tmp_path, routed_by="next", batch=1)
