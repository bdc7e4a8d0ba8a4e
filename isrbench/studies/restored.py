"""A trained variant restores a set: the run, and its scores image by image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from isrbench.harness.engine.evaluate import RunResult, evaluate
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train.config import TrainConfig
from isrbench.methods.studies.variants import Variant


def restore_set(
    variant: Variant, config: TrainConfig, dataset: str | Path, *, metrics: Sequence[str], runs_dir: Path, name: str,
    given: Mapping[str, str] | None = None, data_root: Path | None = None,
) -> RunResult:  # fmt: skip
    """Restore and score a set with a variant's adapter, or return the stored run.

    Args:
        variant: Which was trained.
        config: How it was trained: names the base, the folder of the adapter, and the device.
        dataset: As for :func:`isrbench.evaluate`.
        metrics: Ids.
        runs_dir: Where runs are kept.
        name: What the run is called.
        given: Further options of the method.
        data_root: As for :func:`isrbench.evaluate`.

    Raises:
        UserError: For anything that ``evaluate`` raises it for, and for a metric without its weights.
    """
    options = {"base": config.base, "adapter": str(config.out / "adapter.safetensors"), **(given or {})}
    return evaluate(
        variant.spec.id, dataset, options=options, metrics=metrics, require_metrics=True, estimator="none",
        complexity=False, runs_dir=runs_dir, name=name, data_root=data_root, device=config.device,
    )  # fmt: skip


def scores_of(result: RunResult, arm: str) -> pd.DataFrame:
    """Return a run's scores, one row an image and metric: image, metric, value (NaN where there is none).

    Raises:
        UserError: If an image failed: a mean over the others would not be comparable.
    """
    if result.failed:
        raise UserError(
            f"{result.failed} images of {arm} failed", f"isrbench report --runs-dir {result.folder.parent} says why"
        )
    scores = result.scores()
    return scores[["image", "metric"]].assign(value=scores["value"].astype(float))
