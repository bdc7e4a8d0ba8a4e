"""The loss scale: what float16 loses without it, and how it follows overflows."""

# ruff: noqa: F401, F811  (fixtures)
import shutil
from dataclasses import asdict

import pytest
import torch

from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.loss_scale import GROWTH_STEPS, LossScale, loss_scale_of
from isrbench.methods.onestep.train.step import run_micro_batch
from tests.support.training_world import CPU, a_batch, begin, light, poison, run, same_state, state, world


def generator_gradient(one, share, scale):
    """The generator's gradient of a loss of weight ``share``, in terms of that weight."""
    batch = a_batch()
    draws = draw(0, batch.items, one.latent, one.config.losses, CPU)
    run_micro_batch(one.nets, one.config.losses, batch, draws, 0, share * scale.value)
    parameters = list(one.nets.adapter.parameters().values())
    scale.unscale(parameters)
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]) / share


def test_float16_keeps_small_gradients_only_with_a_scale(world, tmp_path):
    """A weight of 2^-16 makes the micro world's losses as small at each pixel as those of large images."""
    full, lost, kept = (
        generator_gradient(begin(world, tmp_path / str(n), dtype=dtype), 2.0**-16, LossScale(value))
        for n, (dtype, value) in enumerate((("fp32", 1.0), ("fp16", 1.0), ("fp16", 2.0**16)))
    )
    error = {name: float((g - full).norm() / full.norm()) for name, g in (("lost", lost), ("kept", kept))}
    assert error["kept"] < 0.02 and error["lost"] > 5 * error["kept"], error


def test_unscaling_is_exact():
    scale = LossScale(2.0**9)
    parameter, other = (torch.nn.Parameter(torch.zeros(100)) for _ in range(2))
    gradient = torch.randn(100)
    parameter.grad = gradient * scale.value
    scale.unscale([parameter, other])
    assert torch.equal(parameter.grad, gradient) and other.grad is None


def test_overflows_halve_it_and_quiet_doubles_it():
    scale = LossScale()
    for _ in range(GROWTH_STEPS - 1):
        scale.update(finite=True)
    assert scale.value == 2.0**16
    again = LossScale(**asdict(scale))  # as a training state keeps it
    for one in (scale, again):
        one.update(finite=True)
        assert (one.value, one.steps) == (2.0**17, 0)
    scale.update(finite=True)
    scale.update(finite=False)
    assert (scale.value, scale.steps) == (2.0**16, 0)
    for _ in range(40):
        scale.update(finite=False)
    assert scale.value == 1.0


@pytest.mark.parametrize(("dtype", "scaled"), [("fp32", False), ("bf16", False), ("fp16", True)])
def test_only_float16_needs_one(dtype, scaled):
    assert (loss_scale_of(dtype) is not None) == scaled


def test_the_optimizers_see_gradients_without_the_scale(world, tmp_path):
    moments = []
    for dtype in ("fp32", "fp16"):
        run(world, tmp_path / dtype, dtype=dtype, steps=1, optim={"clip": 1e9})
        kept = state(tmp_path / dtype, 1)["optimizers"]["generator"]["state"]
        moments.append(torch.cat([moment["exp_avg"].flatten() for moment in kept.values()]))
    full, half = moments
    assert float(full.norm()) > 0 and float((half - full).norm() / full.norm()) < 0.05


def test_the_scale_is_part_of_the_state_and_halves_where_a_step_is_skipped(world, tmp_path, monkeypatch):
    poison(monkeypatch, 1)  # an item of the first step
    run(world, tmp_path / "whole", dtype="fp16")
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    whole = state(tmp_path / "whole", 4)
    assert whole["loss_scale"] == {"value": 2.0**15, "steps": 3} and whole["tally"]["skipped"] == 1
    (tmp_path / "parts/states/state-4.pt").unlink()
    run(world, tmp_path / "parts", resume=True, dtype="fp16")
    assert same_state(whole, state(tmp_path / "parts", 4))
