"""The severities of the first items, looked at before the first step."""

# ruff: noqa: F401, F811  (fixtures)
import csv
import logging

import numpy as np
import pytest
import torch

from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.methods.onestep.train.data import open_loader
from isrbench.methods.onestep.train.note import NAME, marginals, note_severities
from tests.support.training_world import CPU, Statistics, begin, curve_rows, light, run, same_state, state, world


def test_a_note_leaves_the_run_as_it_is_and_says_what_the_first_items_are(world, tmp_path):
    with_it, without = tmp_path / "with", tmp_path / "without"
    one = run(world, with_it, steps=2, severity_note=5, data={"severity_window": 48})
    run(world, without, steps=2, data={"severity_window": 48})
    assert curve_rows(with_it) == curve_rows(without)
    assert (with_it / "adapter.safetensors").read_bytes() == (without / "adapter.safetensors").read_bytes()
    assert same_state(state(with_it, 2), state(without, 2)) and not (without / NAME).exists()
    windows = [batch.severity_window for batch in open_loader(one.config.data, 0, 1, range(5))]
    expected = torch.cat([Statistics().estimate(window) for window in windows]).double().numpy()
    rows = list(csv.DictReader((with_it / NAME).open()))
    assert [row["dimension"] for row in rows] == list(DIMENSIONS) and {row["images"] for row in rows} == {"5"}
    assert [float(row["mean"]) for row in rows] == pytest.approx(list(expected.mean(0)), rel=1e-5)
    assert [float(row["below_0.05"]) for row in rows] == pytest.approx(list((expected < 0.05).mean(0)))
    before = torch.random.get_rng_state()
    note_severities(one.config, one.nets.estimator, CPU)
    assert torch.equal(before, torch.random.get_rng_state())


def test_marginals_count_both_ends():
    severities = np.full((4, 7), 0.5)
    severities[:, 1] = [0.0, 0.04, 0.96, 0.5]
    rows = marginals(severities)
    assert rows[0] == ("quality", 4, 0.5, 0.0, 0.0)
    assert rows[1] == ("blur", 4, pytest.approx(0.375), 0.5, 0.25)


def test_a_saturated_dimension_is_warned_of(world, tmp_path, caplog):
    class Extreme(Statistics):
        def estimate(self, lr):
            severity = torch.full((len(lr), 7), 0.5)
            severity[:, 2] = 0.99
            return severity

    config = begin(world, tmp_path, severity_note=3).config
    with caplog.at_level(logging.WARNING):
        note_severities(config, Extreme(), CPU)
    assert [record.args[0] for record in caplog.records] == ["noise"]
    assert "100% of 3 images" in caplog.text
