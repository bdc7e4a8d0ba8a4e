"""Training on several processes: the same steps as on one, the same way of going on and of skipping."""

# ruff: noqa: F401, F811  (fixtures)
import dataclasses
import shutil

import numpy as np
import pytest
from accelerate import debug_launcher

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.onestep.train.config import validated
from isrbench.methods.onestep.train.run import Run
from tests.support.training_world import (
    BALANCED,
    MOR,
    begin,
    curve_rows,
    light,
    poison,
    run,
    same_state,
    state,
    statistics,
    values,
    world,
)


def train_as_one_of_several(plain, resume=False):
    """One process of a group, forked from a process that has trained alone."""
    Run(validated(plain), MOR, resume, statistics).loop()


def fork(plain, resume=False):
    """A run by two CPU processes, forked from this one by accelerate, so that none imports torch anew."""
    debug_launcher(train_as_one_of_several, (plain, resume), num_processes=2)


SPLIT = {"global_batch": 2, "batch": 1}
"""Two micro-batches of one process, or one of each of two: sums of two, the same bits whoever adds them up."""


def test_two_processes_equal_one(world, tmp_path):
    """Two CPU processes take the same items and make the same steps as one, the load balanced over all of them."""
    changes = {"steps": 2, "adapter": BALANCED["adapter"], "losses": BALANCED["losses"] | {"gan_start": 1}}
    one = run(world, tmp_path / "one", **SPLIT, **changes)
    fork(values(world, str(tmp_path / "two"), **SPLIT, **changes))
    assert same_state(state(tmp_path / "one", 2), state(tmp_path / "two", 2))
    assert curve_rows(tmp_path / "one") == curve_rows(tmp_path / "two")
    two = load_adapter(tmp_path / "two/adapter.safetensors")
    assert two.training["processes"] == 2 and dataclasses.asdict(one.adapter_config) == two.config
    whole = run(world, tmp_path / "whole", global_batch=2, batch=2, **changes)
    assert whole.split.accumulate == 1 and one.split.accumulate == 2
    a, b = (curve_rows(tmp_path / name) for name in ("whole", "two"))
    assert [r[:2] for r in a] == [r[:2] for r in b]
    assert np.allclose([float(r[2]) for r in a[1:]], [float(r[2]) for r in b[1:]], rtol=1e-3)


def test_a_run_goes_on_with_another_number_of_processes(world, tmp_path):
    run(world, tmp_path / "one", **SPLIT, **BALANCED)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two/states/state-4.pt").unlink()
    fork(values(world, str(tmp_path / "two"), **SPLIT, **BALANCED), resume=True)
    assert same_state(state(tmp_path / "one", 4), state(tmp_path / "two", 4))
    assert curve_rows(tmp_path / "one") == curve_rows(tmp_path / "two")
    assert load_adapter(tmp_path / "two/adapter.safetensors").training["processes"] == 2
    with pytest.raises(UserError, match="global_batch was 2, now 4"):
        begin(world, tmp_path / "two", resume=True, **(SPLIT | {"global_batch": 4}), **BALANCED)


def test_all_processes_skip_a_step_that_one_cannot_make(world, tmp_path, monkeypatch):
    poison(monkeypatch, 3)  # the second step's of the second process
    run(world, tmp_path / "one", steps=3, **SPLIT)
    fork(values(world, str(tmp_path / "two"), steps=3, **SPLIT))
    one, two = (state(tmp_path / name, 3) for name in ("one", "two"))
    assert same_state(one, two) and one["tally"] == two["tally"] and two["tally"]["skipped"] == 1
    assert curve_rows(tmp_path / "one") == curve_rows(tmp_path / "two")
