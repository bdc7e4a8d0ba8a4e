"""The Python call."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isrbench.harness.engine.evaluate import evaluate, same_images
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb, to_tensor, write_png
from isrbench.harness.severity.estimator import get_estimator
from isrbench.harness.store.store import Store


def test_one_metric_may_be_given_by_its_name(pairs_folder: Path, tmp_path: Path) -> None:
    result = evaluate(
        "bicubic", pairs_folder, metrics="psnr", estimator="none", complexity=False, runs_dir=tmp_path, limit=1
    )
    assert [mean.metric for mean in result.summary.metrics] == ["psnr"]


def _evaluated(method: str, pairs: Path, runs: Path, **options):
    stages: list[str] = []
    result = evaluate(
        method, pairs, metrics="psnr", complexity=False, runs_dir=runs, estimator="fft",
        progress=lambda stage, done, total: stages.append(stage), **options,
    )  # fmt: skip
    return result, stages.count("hr-severity")


def test_an_hr_image_is_estimated_once_for_all_runs_and_only_when_asked_for(pairs_folder: Path, tmp_path: Path) -> None:
    shutil.copy(pairs_folder / "HR" / "a.png", pairs_folder / "HR" / "b.png")  # four images, three contents
    runs = tmp_path / "runs"
    plain, estimated = _evaluated("bicubic", pairs_folder, runs)
    assert estimated == 0 and plain.images()["hr_severity"].isna().all()
    asked, estimated = _evaluated("bicubic", pairs_folder, runs, hr_severity=True)
    assert asked.run == plain.run and asked.computed and estimated == 3
    of_hr = asked.images().set_index("image")["hr_severity"]
    hr = to_tensor(read_rgb(pairs_folder / "HR" / "c.png"))
    assert of_hr["c"] == pytest.approx(float(get_estimator("fft").estimate(hr[None])[0].double().mean()), abs=1e-7)
    assert of_hr["a"] == of_hr["b"] != of_hr["c"]
    again, estimated = _evaluated("bicubic", pairs_folder, runs, hr_severity=True)
    assert not again.computed and estimated == 0
    other, estimated = _evaluated("lanczos", pairs_folder, runs)
    assert estimated == 0 and other.images().set_index("image")["hr_severity"].equals(of_hr), "by content"
    with Store(runs) as store:
        assert len(store.hr_severities()) == 3


def test_a_severity_of_hr_images_needs_an_estimator_and_hr_images(pairs_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--hr-severity needs an estimator"):
        evaluate("bicubic", pairs_folder, estimator="none", hr_severity=True, runs_dir=tmp_path / "runs")
    shutil.rmtree(pairs_folder / "HR")
    result, estimated = _evaluated("bicubic", pairs_folder, tmp_path / "runs", hr_severity=True)
    assert estimated == 0 and "has no HR images whose severity" in " ".join(result.summary.notes)


def test_a_repeat_under_another_seed_stands_for_nothing_until_it_is_asked_for_alone(
    pairs_folder: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    base, _ = _evaluated("bicubic", pairs_folder, runs)
    other, _ = _evaluated("bicubic", pairs_folder, runs, seed=1, repeat_of=base.run)
    assert other.run != base.run and other.manifest.repeat_of == base.run and same_images(base, other)
    with Store(runs) as store:
        assert store.newest_runs() == [base.run] and store.repeats([base.run]) == [other.run]
        assert f"repeats {base.run}" in next(s.state for s in store.states() if s.run == other.run)
    again, _ = _evaluated("bicubic", pairs_folder, runs, seed=1, repeat_of=base.run)
    assert not again.computed and again.run == other.run, "resumed as any run"
    alone, _ = _evaluated("bicubic", pairs_folder, runs, seed=1)
    assert alone.run == other.run and alone.manifest.repeat_of == ""
    with Store(runs) as store:
        assert set(store.newest_runs()) == {base.run, other.run}, "two runs that differ in their seed are two rows"


def test_an_lr_that_has_changed_is_scored_again_and_without_hr_it_is_scored_too(
    pairs_folder: Path, tmp_path: Path
) -> None:
    def values() -> dict[str, float | None]:
        result = evaluate(
            "bicubic", pairs_folder, metrics=["lr_consistency", "omission"], estimator="none", complexity=False,
            runs_dir=tmp_path / "runs",
        )  # fmt: skip
        notes.update({mean.metric: mean.note for mean in result.summary.metrics})
        scores = result.scores()
        return dict(scores[scores["metric"] == "lr_consistency"].set_index("image")["value"])

    notes: dict[str, str] = {}
    first = values()
    assert first == values() and notes == {"lr_consistency": "", "omission": ""}
    changed, *_ = sorted(first)
    lr = read_rgb(pairs_folder / "LR" / f"{changed}.png")
    write_png(pairs_folder / "LR" / f"{changed}.png", 255 - lr // 3)
    second = values()
    assert {image for image in first if first[image] != second[image]} == {changed}
    shutil.rmtree(pairs_folder / "HR")
    assert values() == second and notes == {"lr_consistency": "", "omission": "needs HR"}
