"""Every installed metric of single images that needs no download, ours or anyone's, through the same checks."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import Registry, metrics
from isrbench.harness.engine.contract.check import Verdict, carry_out_one
from isrbench.harness.engine.contract.metric import METRIC_CHECKS, Subject, subject_of
from isrbench.harness.errors import UserError
from isrbench.harness.metrics.builtin import FID, PSNR
from isrbench.harness.metrics.contract import check_call, held
from isrbench.harness.metrics.faithfulness import HALLUCINATION, IMPROVEMENT, LR_CONSISTENCY, OMISSION, SHIFT
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.metrics.version import version_of
from tests.support.images import make_scene

IDS = sorted(
    id for id, m in metrics().load_all()[0].items() if not m.weights and m.reference is not Reference.SET
)  # fmt: skip


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    """A restored image, its HR and its LR, as read-only as the scorer's."""
    scene, noisy = make_scene(2)
    found = {"restored": noisy, "hr": scene, "lr": scene[1::4, 2::4].copy()}
    for image in found.values():
        image.flags.writeable = False
    return found


@pytest.fixture(scope="module")
def subjects() -> dict[str, Subject]:
    return {id: subject_of(metrics().get(id)) for id in IDS}


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("check", METRIC_CHECKS.values())
def test_every_metric_holds_what_is_asked_of_plugins(id, check, subjects):
    one = carry_out_one("", check, subjects[id])
    if one.verdict is Verdict.SKIPPED:
        pytest.skip(one.reason)
    assert one.verdict is Verdict.PASS, one.reason


@pytest.mark.parametrize("id", IDS)
def test_what_is_absent_is_one_clear_reason(id, images):
    metric = metrics().get(id)
    (without_hr,) = Scorer([id]).score_pixels(images["restored"], None, images["lr"])
    (without_lr,) = Scorer([id]).score_pixels(images["restored"], images["hr"])
    full = metric.reference is Reference.FULL
    assert without_hr.status is (ScoreStatus.NO_REFERENCE if full else ScoreStatus.OK)
    assert (without_lr.status is ScoreStatus.OK) is not metric.uses_lr
    if metric.uses_lr:
        assert without_lr.failure is not None and without_lr.failure.traceback == ""
        assert without_lr.failure.message == f"{id} looks at the LR, and none was given"


def test_the_metrics_of_faithfulness_are_installed_and_declare_what_they_need():
    needs = {
        m.id: (m.direction, m.reference, m.uses_lr)
        for m in (LR_CONSISTENCY, SHIFT, HALLUCINATION, OMISSION, IMPROVEMENT)
    }
    higher, lower, full = Direction.HIGHER, Direction.LOWER, Reference.FULL
    assert needs == {
        "lr_consistency": (higher, Reference.NONE, True),
        "shift": (lower, full, False),
        "hallucination": (lower, full, True),
        "omission": (lower, full, True),
        "improvement": (higher, full, True),
    }
    for id in needs:
        metric = metrics().get(id)
        assert metric.citation.startswith("@article") or metric.citation.startswith("@inproceedings")
        assert metric.citation.count("{") == metric.citation.count("}") and metric.definition


def two_images(device: str):
    return lambda restored, hr: 1.0


def test_a_function_of_two_images_is_refused_with_the_change_named(images):
    """As metrics were before they could look at the LR."""
    registry = Registry("metric", Metric)
    registry.register("old", f"{__name__}:OLD")
    registry.register("psnr", "isrbench.harness.metrics.builtin:PSNR")
    scorer = Scorer(["old", "psnr"], registry=registry)
    old, psnr = scorer.score_pixels(images["restored"], images["hr"])
    assert psnr.status is ScoreStatus.OK and old.status is ScoreStatus.FAILED and old.failure is not None
    assert "old builds a function that cannot be called with (restored, hr, lr)" in old.failure.message
    assert "third parameter, lr" in old.failure.fix and old.failure.traceback == ""
    assert list(scorer.lacking()) == ["old"]


OLD = replace(PSNR, id="old", build=two_images)


@pytest.mark.parametrize(
    "function", [lambda restored, hr, lr: 0.0, lambda restored, hr, lr=None: 0.0, lambda *images: 0.0, max]
)
def test_functions_that_can_be_called_pass(function):
    check_call(PSNR, function)


def test_functions_that_cannot_be_called_do_not_pass_and_sets_have_their_own_call():
    for function in (lambda restored: 0.0, lambda restored, hr, lr, more: 0.0):
        with pytest.raises(UserError, match="three images"):
            check_call(PSNR, function)
    check_call(FID, lambda restored, references: 0.0)
    for metric in (PSNR, FID):
        with pytest.raises(UserError, match="builds a NoneType, which is no function"):
            check_call(metric, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (3, 3.0), (np.float32(0.5), 0.5), (np.int64(2), 2.0), (np.array([1.5]), 1.5), (torch.tensor(2.5), 2.5),
        (torch.tensor([1.0], requires_grad=True), 1.0), (Fraction(1, 4), 0.25), (np.float64("inf"), float("inf")),
    ],
)  # fmt: skip
def test_numbers_of_every_library_become_plain_ones(value, plain):
    given = held(PSNR, lambda *images: value)(None, None, None)
    assert given == plain and type(given) is float


@pytest.mark.parametrize(
    "value", [None, "3.5", b"1", True, np.bool_(True), 1j, np.ones(2), torch.ones(2), [1.0], {}, 10**400, len]
)
def test_what_is_no_number_fails_with_one_line(value):
    with pytest.raises(UserError, match=r"psnr returned .*, which is not a number") as caught:
        held(PSNR, lambda *images: value)(None, None, None)
    assert "\n" not in caught.value.message and len(caught.value.message) < 160


def test_whether_a_metric_looks_at_the_lr_is_part_of_its_version():
    assert version_of(replace(PSNR, uses_lr=True)).code != version_of(PSNR).code
