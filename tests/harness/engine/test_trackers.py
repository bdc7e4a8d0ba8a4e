"""Scores for TensorBoard, read back from its own files, and for Weights & Biases, whose package is played."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from isrbench.harness.engine import trackers
from isrbench.harness.engine.evaluate import evaluate
from isrbench.harness.errors import UserError
from tests.support.images import write_pairs


def test_scores_reach_both(tmp_path: Path, monkeypatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged: list[dict[str, float]] = []
    metrics: list[tuple[str, str]] = []
    summary: dict[str, float] = {}
    asked: dict[str, object] = {}
    fake = ModuleType("wandb")
    fake.init = lambda **options: (  # type: ignore[attr-defined]
        asked.update(options),
        SimpleNamespace(
            log=logged.append,
            summary=summary,
            finish=lambda: None,
            define_metric=lambda name, step_metric: metrics.append((name, step_metric)),
        ),
    )[1]
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)  # another test's empty one: TensorBoard asks for it
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(trackers, "find_spec", lambda name: fake)
    pairs = write_pairs(tmp_path / "set", ["a", "b", "c"])
    for _ in range(2):  # asked for again, it is told again, and not twice
        run = evaluate(
            "bicubic", pairs, metrics=["psnr", "gmsd"], estimator="none", complexity=False, runs_dir=tmp_path / "runs",
            trackers=["tensorboard", "wandb"],
        )  # fmt: skip
    rows = run.scores().sort_values("image")
    psnr = rows[rows["metric"] == "psnr"]["value"].tolist()
    [file] = (tmp_path / "runs" / "tensorboard" / run.run).iterdir()
    events = EventAccumulator(str(file))
    events.Reload()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("image/psnr")] == list(enumerate(psnr))
    assert events.Scalars("mean/psnr")[0].value == pytest.approx(sum(psnr) / 3)
    assert events.Scalars("n/gmsd")[0].value == 3
    assert [(row["image"], row["image/psnr"]) for row in logged[-3:]] == list(enumerate(psnr))
    assert metrics[-1] == ("image/*", "image")
    assert summary["mean/psnr"] == pytest.approx(sum(psnr) / 3) and "image/psnr" not in summary
    assert asked["name"] == run.run and asked["config"]["method"] == "Bicubic"  # type: ignore[index]


def test_a_tracker_that_is_not_there_is_said_before_anything_is_done(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    for name, words in (("wandb", "is not installed"), ("wanddb", "did you mean 'wandb'")):
        with pytest.raises(UserError, match=words):
            evaluate("bicubic", "sample", runs_dir=tmp_path / "runs", trackers=[name])
    assert not (tmp_path / "runs").exists()


def test_a_tracker_that_takes_nothing_leaves_the_run_as_it_is(tmp_path: Path, monkeypatch) -> None:
    def unreachable(**options: object) -> None:
        raise ConnectionError("api.example cannot be reached")

    fake = ModuleType("wandb")
    fake.init = unreachable  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(trackers, "find_spec", lambda name: fake)
    pairs = write_pairs(tmp_path / "set", ["a"])
    run = evaluate(
        "bicubic", pairs, metrics=["psnr"], estimator="none", complexity=False, runs_dir=tmp_path / "runs",
        trackers=["wandb"],
    )  # fmt: skip
    assert run.failed == 0 and len(run.scores()) == 1
    assert any("--tracker wandb: nothing was handed on" in note for note in run.summary.notes)
