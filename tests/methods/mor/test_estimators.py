"""MoR trained and run with the severity estimator that needs no weights."""

# ruff: noqa: F401, F811  (fixtures)
from __future__ import annotations

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.severity.estimator import get_estimator
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.options import MixtureOptions
from isrbench.methods.onestep.train.config import validated
from isrbench.methods.onestep.train.run import Run
from tests.support.training_world import MOR, light, values, world


def test_an_adapter_trained_by_fft_records_it_and_is_routed_by_it(world, tmp_path):
    run = Run(validated(values(world, tmp_path, steps=2, estimator="fft")), MOR, False)
    assert run.nets.estimator is get_estimator("fft")
    run.loop()
    path = tmp_path / "adapter.safetensors"
    record = load_adapter(path, method="mor").training
    assert record["estimator"] == "fft" and record["estimator_id"] == get_estimator("fft").id
    method = build_method(MixtureOptions(base=str(world / "base"), adapter=path, process_size=0), Runtime(), MOR)
    lr = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(method.severity(lr, image="a"), get_estimator("fft").estimate(lr[None])[0])
    assert torch.isfinite(method.restore(lr, image="a", seed=0).image).all()


def test_a_temperature_does_not_go_with_it(world, tmp_path):
    with pytest.raises(UserError, match="no softmax"):
        Run(validated(values(world, tmp_path, steps=2, estimator="fft", logit_scale=1.0)), MOR, False)


def test_its_identity_is_part_of_the_methods_weights(world, tmp_path):
    Run(validated(values(world, tmp_path, steps=2, estimator="fft")), MOR, False).loop()
    options = MixtureOptions(base=str(world / "base"), adapter=tmp_path / "adapter.safetensors")
    hashes = {
        build_method(MixtureOptions(**{**vars(options), "estimator": spec}), Runtime(), MOR).weights_hash
        for spec in ("fft", "tiny", None)
    }
    assert len(hashes) == 2, "named or recorded, fft is one; tiny is another"
