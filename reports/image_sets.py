"""What runs say of the pictures themselves: which runs show the same ones, where they are, and how degraded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from isrbench.harness.severity.dimensions import DIMENSIONS

SEVERITIES = ["severity", *DIMENSIONS]


@dataclass(frozen=True)
class PictureSet:
    """Runs of one dataset id that show the same pictures."""

    key: str
    """The set's content hash; "" where runs do not tell."""
    runs: tuple[str, ...]


def same_pictures(runs: pd.DataFrame, images: pd.DataFrame) -> list[PictureSet]:
    """Part the runs of one dataset id by what they show: an id, or an image's name, says nothing about pixels.

    Runs whose sets have one content hash belong together. A run under ``--limit`` has another hash; it joins a larger
    set where its images are files of that set, none of which changed after the earlier of the two runs.

    Args:
        runs: :attr:`isrbench.harness.store.frames.Frames.runs` of one dataset id.
        images: :attr:`isrbench.harness.store.frames.Frames.images`.
    """
    facts = {str(row["run"]): _set_facts(row["manifest"]) for _, row in runs.iterrows()}
    files = {run: _files(images.loc[images["run"] == run, :]) for run in facts}
    begun = dict(zip(runs["run"], runs["created"], strict=True))
    groups: dict[str, list[str]] = {}
    # Whole sets first, then from the largest to the smallest: a part finds its whole already there.
    for run in sorted(facts, key=lambda r: (facts[r][1], -len(files[r]), r)):
        key, limited = facts[run]
        home = key if key in groups or not limited else next(
            (k for k, own in groups.items() if _is_part(files[run], files[own[0]], min(begun[run], begun[own[0]]))), key
        )  # fmt: skip
        groups.setdefault(home, []).append(run)
    return [PictureSet(key, tuple(sorted(own))) for key, own in groups.items()]


def picture_paths(images: pd.DataFrame) -> pd.DataFrame:
    """lr_path, hr_path and level of each image, by image: of several runs' paths the first that is still a file."""
    rows = images.sort_values(["image", "run"], kind="stable")
    found: Any = rows.groupby("image")[["level", "lr_path", "hr_path"]].first()
    for column in ("lr_path", "hr_path"):
        there = rows[rows[column].map(lambda path: isinstance(path, str) and Path(path).is_file()).astype(bool)]
        found.update(there.groupby("image")[[column]].first())
    return found


def severities(images: pd.DataFrame, runs: pd.DataFrame) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Each image's severity vector, all by one estimator and each whole as one run stored it.

    Of several estimators the one that saw most images counts, then the one of the newest run.

    Args:
        images: Rows of runs that show the same pictures, with a label column.
        runs: Those runs, with run, created and estimator.

    Returns:
        severity and DIMENSIONS by image (NaN where unknown), the estimator or ``none``, and a note on what is left out.
    """
    rows = images.dropna(subset=["severity"])
    by_run = runs.set_index("run")
    rows = rows.assign(_by=_estimators(rows, by_run["estimator"]), _at=rows["run"].map(by_run["created"]))
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
    return own[SEVERITIES].astype(float), chosen, notes


def _estimators(rows: pd.DataFrame, of_run: pd.Series) -> pd.Series:
    """What gave each row's severity: the row's own mark where it has one, by the name that a run gives it."""
    named = rows["run"].map(of_run).fillna("unknown").astype(str)
    if "estimator" not in rows:
        return named
    names = [name for name in of_run.dropna().astype(str) if not name.startswith("MIXED")]

    def name_of(mark: Any, run_name: str) -> str:
        if not isinstance(mark, str):
            return run_name
        return next((name for name in (run_name, *names) if mark[:8] in name and name in names), mark[:8])

    return pd.Series([name_of(m, n) for m, n in zip(rows["estimator"], named, strict=True)], rows.index, dtype=str)


def _set_facts(manifest: Any) -> tuple[str, bool]:
    """A run's content hash and whether ``--limit`` cut its set."""
    dataset = manifest.get("dataset") if isinstance(manifest, dict) else None
    dataset = dataset if isinstance(dataset, dict) else {}
    return str(dataset.get("content_hash") or ""), dataset.get("limit") is not None


def _files(rows: pd.DataFrame) -> dict[str, tuple[Any, Any]]:
    return {i: (lr, hr if isinstance(hr, str) else None) for i, lr, hr in rows[["image", "lr_path", "hr_path"]].values}


def _is_part(part: dict[str, tuple[Any, Any]], whole: dict[str, tuple[Any, Any]], since: str) -> bool:
    shared = [whole.get(image) == files for image, files in part.items()]
    return bool(shared) and all(shared) and _unchanged([f for pair in part.values() for f in pair if f], since)


def _unchanged(files: Sequence[str], since: str) -> bool:
    """Whether every file is there and as old as ``since``; a change of its inode's facts counts as one of the file."""
    try:
        limit = datetime.fromisoformat(since).timestamp()
        return all(max((found := Path(file).stat()).st_mtime, found.st_ctime) <= limit for file in files)
    except (OSError, ValueError):
        return False
