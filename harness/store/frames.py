"""Stored rows as pandas frames: what every report is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.records import RunCost
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.connection import understood
from isrbench.harness.store.schema import manifest_of

if TYPE_CHECKING:
    import pandas as pd

    from isrbench.harness.store.store import Store

COST_COLUMNS = tuple(RunCost.model_fields)
"""What a run's cost is made of (:class:`isrbench.harness.api.records.RunCost`)."""
FAILURE_COLUMNS = ("message", "fix", "traceback")

_RUN_COLUMNS = (
    "run", "method", "title", "variant", "dataset", "label", "n", "whole", "created", "seed", "device", "estimator",
    "routes", "scale", *COST_COLUMNS, "manifest",
)  # fmt: skip
_IMAGE_COLUMNS = (
    "image", "status", *FAILURE_COLUMNS, "seconds", "severity", *DIMENSIONS, "level", "active_experts", "adapter_macs",
    "adapter_params", "tiles", "lr", "hr", "hr_hash", "output", "estimator",
)  # fmt: skip


@dataclass(frozen=True)
class Frames:
    """Rows of one or more runs. Long form; a missing value is NaN or None, never 0."""

    runs: pd.DataFrame
    """One row a run: run, method (what rows call it), title, variant ("" or such as ``tiny``), dataset, label (the
    dataset, with the number of images where it is a part: ``RealSR, 20 of 100 images``), n (images of the run), whole
    (images of the set), created (ISO 8601, UTC), seed, device, estimator (name and head of its version; ``MIXED`` and
    the heads where images hold several), routes (bool), scale, macs, flops, params_total, params_trainable,
    params_active, latency_ms, latency_runs, latency_spread, load, peak_mib, complexity_size (LR size counted and timed,
    such as "128x128"), manifest (:class:`isrbench.harness.api.records.Manifest`)."""
    scores: pd.DataFrame
    """One row an image and metric: run, method, dataset, image ("" for a set metric), metric, value, status
    ("ok", "failed", "unavailable", "no-reference"), message, fix, traceback."""
    images: pd.DataFrame
    """One row an image: run, method, dataset, image, status ("ok", "failed", "oom"), message, fix, traceback, seconds,
    severity, one column for each of DIMENSIONS, level (the true severity level of a synthetic set, or None),
    active_experts (mean over layers, or NaN), adapter_macs (of the active experts, as if run beside the base) and
    adapter_params (active experts and routers), or NaN, tiles (NaN unless memory was short), lr_path, hr_path (or
    None), output_path (or None), estimator (version of what gave the severity, or None), hr_severity (of the HR, by
    that estimator; NaN unless it was asked for); paths are absolute strings."""
    routing: pd.DataFrame
    """One row an image and adapted layer: run, method, dataset, image, position (0, 1, ... in order of execution),
    layer, active, zero."""


def load_frames(store: Store, runs: Sequence[str]) -> Frames:
    """Read the rows of ``runs``; everything comes sorted by run, image, metric or position."""
    with understood(store.folder):
        return _frames(store, runs)


def _frames(store: Store, runs: Sequence[str]) -> Frames:
    import pandas as pd

    facts = [_run_facts(row) for row in store.rows("runs", runs)]
    run_frame = pd.DataFrame(facts, columns=list(_RUN_COLUMNS))
    named = run_frame[["run", "method", "dataset"]]

    def frame(table: str, columns: Sequence[str]) -> pd.DataFrame:
        names = ["run", *columns]
        rows = pd.DataFrame(store.columns(table, names, runs), columns=names)
        return named.merge(rows, on="run", how="inner")

    images = frame("images", _IMAGE_COLUMNS)
    _name_mixtures(run_frame, images)
    # pandas holds a missing text as NaN, not as None.
    images["output"] = images["output"].map(lambda path: str(store.folder / path) if isinstance(path, str) else None)
    of_hr = store.hr_severities()
    keys = zip(images.pop("hr_hash"), images["estimator"], strict=True)
    images["hr_severity"] = pd.Series([of_hr.get(key, float("nan")) for key in keys], images.index, dtype=float)
    images = images.rename(columns={"lr": "lr_path", "hr": "hr_path", "output": "output_path"})
    numeric = ["seconds", "severity", *DIMENSIONS, "active_experts", "adapter_macs", "adapter_params", "tiles"]
    images[numeric] = images[numeric].astype(float)
    scores = frame("scores", ("image", "metric", "value", "status", *FAILURE_COLUMNS)).astype({"value": float})
    return Frames(run_frame, scores, images, frame("routing", ("image", "position", "layer", "active", "zero")))


def _name_mixtures(runs: pd.DataFrame, images: pd.DataFrame) -> None:
    """Say of a run whose severities come from several estimators that they do: it was stopped while changing over."""
    for run, versions in images.groupby("run")["estimator"]:
        heads = sorted({version[:8] for version in versions.dropna()})
        if len(heads) > 1:
            runs.loc[runs["run"] == run, "estimator"] = f"MIXED ({', '.join(heads)}): run it again"


def _run_facts(row: dict[str, Any]) -> dict[str, Any]:
    manifest = manifest_of(row["run"], row["manifest"])
    cost = RunCost.model_validate_json(row["cost"]) if row["cost"] else RunCost()
    return {
        "run": manifest.run,
        "method": manifest.name,
        "title": manifest.title,
        "variant": manifest.variant,
        "dataset": manifest.dataset.id,
        "label": manifest.dataset.label,
        "n": manifest.dataset.images,
        "whole": manifest.dataset.whole,
        "created": manifest.created,
        "seed": manifest.seed,
        "device": manifest.device,
        "estimator": manifest.estimator.label if manifest.estimator else None,
        "routes": manifest.routes,
        "scale": manifest.dataset.scale,
        **cost.model_dump(),
        "manifest": manifest,
    }
