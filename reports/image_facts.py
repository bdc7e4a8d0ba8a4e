"""What runs say of the images themselves: where they are, their level, and how degraded they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from isrbench.harness.api.records import EstimatorRecord, Manifest
from isrbench.harness.severity.dimensions import DIMENSIONS

SEVERITIES = ["severity", *DIMENSIONS, "hr_severity"]


def image_paths(images: pd.DataFrame) -> pd.DataFrame:
    """Return lr_path, hr_path and level by image: of several runs' paths the first that is still a file."""
    rows = images.sort_values(["image", "run"], kind="stable")
    found: Any = rows.groupby("image")[["level", "lr_path", "hr_path"]].first()
    for column in ("lr_path", "hr_path"):
        there = rows[rows[column].map(lambda path: isinstance(path, str) and Path(path).is_file()).astype(bool)]
        found.update(there.groupby("image")[[column]].first())
    return found


def severities(images: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Return each image's severities, all by one estimator and each vector as one run stored it.

    Of several estimators the one that saw most images counts, then the one of the newest run.

    Args:
        images: Rows of runs that show the same images, with a label column.
        runs: Those runs, with run, created and manifest.

    Returns:
        severity, DIMENSIONS and hr_severity by image (NaN where unknown), the estimator or ``none``, and a note on what
        is left out.
    """
    rows = images.dropna(subset=["severity"])
    rows = rows.assign(_by=_estimators(rows, runs), _at=rows["run"].map(runs.set_index("run")["created"]))
    if rows.empty:
        known: pd.DataFrame = images.loc[:, ["image", *SEVERITIES]]
        return known.drop_duplicates("image").set_index("image") * float("nan"), "none", ()
    coverage = rows.groupby("_by").agg(count=("image", "nunique"), at=("_at", "max")).sort_values(["count", "at"])
    chosen = str(coverage.index[-1])
    own = rows.loc[rows["_by"] == chosen, :].sort_values(["image", "run"]).drop_duplicates("image").set_index("image")
    others = rows[rows["_by"] != chosen].groupby("_by")["label"].unique()
    notes = tuple(
        f"severities are those of {chosen}; {other} gave others for {', '.join(sorted(set(labels)))}, left out here: "
        f"score the runs again with one --estimator to compare them"
        for other, labels in others.items()
    )
    # That of the HR may have been asked for in one run alone; it is by content, the same for all.
    of_hr = rows.loc[rows["_by"] == chosen, :].groupby("image")["hr_severity"].first()
    return own.assign(hr_severity=of_hr)[SEVERITIES].astype(float), chosen, notes


def _estimators(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.Series:
    """Return what gave each row's severity, by the label that a manifest gives that version, else its head."""
    manifests: list[Manifest] = list(runs["manifest"])
    records: dict[str, EstimatorRecord | None] = {
        run: m.estimator for run, m in zip(runs["run"], manifests, strict=True)
    }
    labels = {record.version: record.label for record in records.values() if record is not None}

    def label(version: Any, run: str) -> str:
        if isinstance(version, str):
            return labels.get(version, version[:8])
        record = records[run]
        return "unknown" if record is None else record.label

    named = [label(version, run) for version, run in zip(rows["estimator"], rows["run"], strict=True)]
    return pd.Series(named, rows.index, dtype=str)
