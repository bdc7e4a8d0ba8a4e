"""Stored rows as files for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from harness.frames import Frames

TABLES = ("scores", "images", "routing")


def table_of(frames: Frames, table: str) -> pd.DataFrame:
    """One table in its public column order.

    scores: run, method, dataset, image, metric, value, status, error. images: run, method, dataset, image, status,
    seconds, severity, the seven dimensions, level, active_experts, error, paths. routing: run, method, dataset,
    image, position, layer, active, zero.

    Raises:
        UserError: If there is no such table.
    """
    from harness.frames import DIMENSIONS

    if table not in TABLES:
        raise UserError(f"--table {table}: there is no such table", f"one of {', '.join(TABLES)}")
    if table != "images":
        return getattr(frames, table)
    first = [
        "run",
        "method",
        "dataset",
        "image",
        "status",
        "seconds",
        "severity",
        "active_experts",
        "level",
        *DIMENSIONS,
    ]
    return frames.images.loc[:, [*first, "error", "lr_path", "hr_path", "output_path"]]


def export(frame: pd.DataFrame, target: Path) -> None:
    """Write a frame as .csv, .parquet or .jsonl; missing values stay missing.

    Raises:
        UserError: For another ending, or a place that cannot be written.
    """
    writers = {
        ".csv": lambda path: frame.to_csv(path, index=False, lineterminator="\n"),
        ".parquet": lambda path: frame.to_parquet(path, index=False),
        ".jsonl": lambda path: frame.to_json(path, orient="records", lines=True),
    }
    if target.suffix not in writers:
        raise UserError(f"--to {target}: the ending must be one of {', '.join(writers)}", f"--to {target.stem}.csv")
    partial = target.with_name(f".{target.name}.part")
    try:
        writers[target.suffix](partial)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"--to {target} cannot be written: {error.strerror}", "choose a folder that exists and can be written"
        ) from error
