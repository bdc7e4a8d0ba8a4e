"""The checks of metrics pass a good one, and each finds what it is there for."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isrbench.harness.api.metric import Direction, Metric, Reference, WeightFile
from isrbench.harness.engine.contract.check import Verdict, carry_out
from isrbench.harness.engine.contract.metric import METRIC_CHECKS, Subject, subject_of
from isrbench.harness.errors import UserError
from tests.support.cli import isrbench
from tests.support.packages import install
from tests.support.plugins import MISBEHAVING, MISBEHAVING_POINTS


def mae(restored, hr, lr) -> float:
    return float(np.abs(restored.astype(float) - hr).mean())


def metric(compute: Callable[..., object], **more: object) -> Metric:
    made = Metric(
        "mae", "MAE", Direction.LOWER, Reference.FULL, "RGB", "mean", lambda device: compute, citation="@misc{m}"
    )
    return replace(made, **more)


def failed(declared: Metric) -> dict[str, str]:
    found = carry_out(METRIC_CHECKS, subject_of(declared))
    assert [one.check for one in found] == list(METRIC_CHECKS)
    return {one.check: one.reason for one in found if one.verdict is Verdict.FAIL}


def test_a_good_metric_fails_nothing() -> None:
    assert failed(metric(mae)) == {}


REPEATS = "a value is a finite number that repeats on any thread"
SIZES = "odd sizes, and squares of its smallest side, have a value"
LOOKS = "it looks at every image that it declares to look at"
BEST = "the HR image itself is not worse than a noisy one"
PROCESS = "the process is left as it was"
CALLS = itertools.count()


def even(restored, hr, lr) -> float:
    if restored.shape[0] % 8:
        raise RuntimeError("an odd size")
    return mae(restored, hr, lr)


def seeds(restored, hr, lr) -> float:
    random.seed(next(CALLS))
    return mae(restored, hr, lr)


@pytest.mark.parametrize(
    ("compute", "broken"),
    [
        (lambda *images: next(CALLS), {REPEATS: "has the values"}),
        (lambda *images: float("nan"), {REPEATS: "mae gave NaN"}),
        (lambda *images: float("inf"), {REPEATS: "the value of an ordinary image is inf"}),
        (lambda *images: "1.0", {REPEATS: "returned '1.0' (str), which is not a number"}),
        (lambda *images: exit(0), {REPEATS: "by SystemExit: 0"}),
        (lambda restored, hr, lr: float(restored.mean()), {LOOKS: "hr is declared and not looked at"}),
        (lambda *images: -mae(*images), {BEST: "`direction` is the other one"}),
        (even, {SIZES: "4x4: RuntimeError: an odd size"}),
        (seeds, {PROCESS: "it changes Python's random state"}),
    ],
)
def test_each_fault_is_found(compute: Callable[..., object], broken: dict[str, str]) -> None:
    found = failed(metric(compute))
    for what, words in broken.items():
        assert words in found[what]


def test_what_needs_weights_or_a_set_is_skipped_and_a_set_is_tried() -> None:
    absent = subject_of(metric(mae, weights=(WeightFile("isrbench-no-such-file.pth", "https://example.org"),)))
    reasons = {one.check: one for one in carry_out(METRIC_CHECKS, absent)}
    assert reasons[REPEATS].verdict is Verdict.SKIPPED and "fetch weights --metric mae" in reasons[REPEATS].reason
    whole = metric(lambda restored, hr: float(len(restored) + len(hr)), reference=Reference.SET)
    assert failed(whole) == {}
    counting = metric(lambda restored, hr: next(CALLS), reference=Reference.SET)
    assert list(failed(counting)) == ["a value of a whole set is a finite number that repeats"]


def test_a_metric_that_cannot_be_built_is_one_line() -> None:
    with pytest.raises(UserError, match="mae cannot be built: ZeroDivisionError"):
        subject_of(metric(mae, build=lambda device: 1 / 0))
    assert isinstance(subject_of(metric(mae)), Subject)


def test_the_command_for_metrics(site: Path, capsys) -> None:
    install(site, "misbehaving", MISBEHAVING_POINTS, misbehaving=MISBEHAVING)
    assert isrbench(capsys, "check", "metric", "psnr")[0] == 0
    code, out, _ = isrbench(capsys, "check", "metric", "leaves", "--json")
    found = {row["check"]: row for row in json.loads(out)}
    assert code == 1 and found[REPEATS]["verdict"] == "fail" and "by SystemExit: 0" in found[REPEATS]["reason"]
    code, _, err = isrbench(capsys, "check", "metric", "unbuilt")
    assert code == 2 and "unbuilt cannot be built: PluginExit" in err
    assert isrbench(capsys, "check", "metric", "psnr", "-o", "x=1")[0] == 2
