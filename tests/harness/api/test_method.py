"""What a method hands back is what a store can hold; what cannot be built is the user's one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, RoutingTrace, Runtime
from isrbench.harness.errors import UserError
from tests.support.nearest import Nearest, Options


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_counts_of_a_trace_become_plain_integers(kind) -> None:
    trace = RoutingTrace(np.array(["x", "y"]), kind([8, 10]), kind([1, 2]), macs=np.int64(3), params=torch.tensor(4))
    assert trace == RoutingTrace(("x", "y"), (8, 10), (1, 2), macs=3, params=4)
    kept = [*trace.layers, *trace.active, *trace.zero, trace.macs, trace.params]
    assert [type(value) for value in kept] == [str] * 2 + [int] * 6


@pytest.mark.parametrize(
    ("layers", "active", "macs"),
    [
        (("x",), (1.5,), None), (("x",), ("1",), None), (("x",), 1, None), (("x",), (torch.tensor([1, 2]),), None),
        (("x",), (-1,), None), (("x",), (1,), 2**63), (("x",), (1,), 1.0), ((3,), (1,), None), ("x", (1,), None),
        (("\udcff",), (1,), None), ((), (), None), (("x", "y"), (1,), None),
    ],
)  # fmt: skip
def test_a_trace_that_no_row_could_hold_is_refused(layers, active, macs) -> None:
    with pytest.raises(ValueError):
        RoutingTrace(layers, active, (0,), macs=macs)


def test_counts_of_a_cost_become_plain_integers() -> None:
    cost = Cost(np.int64(3), torch.tensor(4), params_active=np.uint8(2))  # type: ignore[arg-type]
    assert cost == Cost(3, 4, None, 2) and cost.flops == 6
    kept = [cost.macs, cost.params_total, cost.params_active]
    assert [type(value) for value in kept] == [int] * 3


@pytest.mark.parametrize("macs", [float("nan"), 1.5, "12", -1, 2**62, 2**70, torch.ones(2), np.float64(3)])
def test_a_cost_that_no_row_could_hold_is_refused(macs) -> None:
    with pytest.raises(ValueError, match="macs of a cost holds"):
        Cost(macs, 0)


INFO = MethodInfo("mine", "Mine", "Does.", "MIT")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda options, runtime: 1 / 0, "cannot be built: ZeroDivisionError: division by zero"),
        (lambda options, runtime: None, "returned a NoneType, which has no restore and no cost and no input_hash"),
        (lambda options: None, "cannot be built: TypeError"),
        ("no_such_module:build", "cannot be built: ModuleNotFoundError"),
        (lambda options, runtime: exit(0), "tried to end the process, by SystemExit: 0"),
    ],
)
def test_a_method_that_cannot_be_built_is_one_line(build, words: str) -> None:
    with pytest.raises(UserError) as caught:
        MethodPlugin(INFO, Options, build).make(Options(), Runtime())
    assert caught.value.message.startswith("the method mine ") and words in caught.value.message and caught.value.fix
    assert isinstance(MethodPlugin(INFO, Options, Nearest).make(Options(), Runtime()), Nearest)


def test_what_a_plugin_says_is_wrong_with_options_is_handed_on() -> None:
    def build(options: Options, runtime: Runtime) -> Nearest:
        raise UserError("no weights", "fetch them")

    with pytest.raises(UserError, match=r"^no weights"):
        MethodPlugin(INFO, Options, build).make(Options(), Runtime())


def test_training_code_that_leaves_while_it_is_imported_does_not_end_well(tmp_path, monkeypatch) -> None:
    (tmp_path / "leaving_trainer.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = MethodPlugin(INFO, Options, Nearest, train="leaving_trainer:main", needs="leaving_trainer:needs")
    with pytest.raises(UserError, match="mine cannot be trained: PluginExit"):
        plugin.run_training([])
    with pytest.raises(UserError, match="mine cannot say what its training needs: PluginExit"):
        plugin.training_needs([])


def test_what_training_code_returns_is_checked() -> None:
    def plugin(code: object) -> MethodPlugin:
        return MethodPlugin(INFO, Options, Nearest, train=lambda argv: code, needs=lambda argv: code)  # type: ignore[arg-type, return-value]

    assert [plugin(code).run_training([]) for code in (None, 0, 3)] == [0, 0, 3]
    with pytest.raises(UserError, match="returned 'done', not an exit code"):
        plugin("done").run_training([])
    with pytest.raises(UserError, match="TypeError: a NoneType, not TrainingNeeds"):
        plugin(None).training_needs([])
