"""The Python call."""

from __future__ import annotations

import shutil
from pathlib import Path

from isrbench.harness.engine.evaluate import evaluate
from isrbench.harness.imaging.images import read_rgb, write_png


def test_one_metric_may_be_given_by_its_name(pairs_folder: Path, tmp_path: Path) -> None:
    result = evaluate(
        "bicubic", pairs_folder, metrics="psnr", estimator="none", complexity=False, runs_dir=tmp_path, limit=1
    )
    assert [mean.metric for mean in result.summary.metrics] == ["psnr"]


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
