"""The Python call."""

from __future__ import annotations

from pathlib import Path

from isrbench.harness.engine.evaluate import evaluate


def test_one_metric_may_be_given_by_its_name(pairs_folder: Path, tmp_path: Path) -> None:
    result = evaluate(
        "bicubic", pairs_folder, metrics="psnr", estimator="none", complexity=False, runs_dir=tmp_path, limit=1
    )
    assert [mean.metric for mean in result.summary.metrics] == ["psnr"]
