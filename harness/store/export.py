"""Stored rows as files for other tools."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.errors import UserError
from isrbench.harness.files import refuse_to_replace, replacing

if TYPE_CHECKING:
    import pandas as pd

    from isrbench.harness.store.frames import Frames

TABLES = ("scores", "images", "routing")


def table_of(frames: Frames, table: str) -> pd.DataFrame:
    """Return one table in its public column order.

    scores: run, method, dataset, image, metric, value, status, message, fix,
    traceback. images: run, method, dataset, image, status, seconds, severity, active_experts, adapter_macs,
    adapter_params, level, hr_severity, the seven dimensions, message, fix, traceback, paths.
    routing: run, method, dataset, image, position, layer, active, zero.

    Raises:
        UserError: If there is no such table.
    """
    from isrbench.harness.severity.dimensions import DIMENSIONS

    if table not in TABLES:
        raise UserError(f"--table {table}: unknown table", f"one of {', '.join(TABLES)}")
    if table != "images":
        return getattr(frames, table)
    columns = [
        "run", "method", "dataset", "image", "status", "seconds", "severity", "active_experts", "adapter_macs",
        "adapter_params", "level", "hr_severity", *DIMENSIONS, "message", "fix", "traceback", "lr_path", "hr_path",
        "output_path",
    ]  # fmt: skip
    return frames.images.loc[:, columns]


def export(frame: pd.DataFrame, target: Path, *, overwrite: bool = False, option: str = "--to") -> None:
    """Write a frame as .csv, .parquet or .jsonl; missing values stay missing.

    Args:
        frame: The rows.
        target: The file; its folder has to be there.
        overwrite: Whether a file that is there is replaced.
        option: What named ``target``, for messages.

    Raises:
        UserError: For another ending, a file that is there, or a place that cannot be written.
    """
    writers = {
        ".csv": lambda path: frame.to_csv(path, index=False, lineterminator="\n"),
        ".parquet": lambda path: frame.to_parquet(path, index=False),
        ".jsonl": lambda path: path.write_text("".join(map(_json_line, frame.to_dict("records"))), encoding="utf-8"),
    }
    if target.suffix not in writers:
        raise UserError(
            f"{option} {target}: the ending must be one of {', '.join(writers)}", f"{option} {target.stem}.csv"
        )
    if not target.parent.is_dir():
        raise UserError(f"{option} {target}: the folder {target.parent} does not exist", f"mkdir -p {target.parent}")
    if not overwrite:
        refuse_to_replace([target], f"pass --overwrite, or another {option}")
    try:
        with replacing(target) as partial:
            writers[target.suffix](partial)
    except OSError as error:
        raise UserError(
            f"{option} {target} cannot be written: {error.strerror or error}", "choose a place that can be written"
        ) from error


def _json_line(row: dict[Hashable, Any]) -> str:
    """One record with every digit; JSON has no infinity, so it is spelled "inf" or "-inf" (as ``--json`` does)."""
    plain = {name: None if value is None or value != value else value for name, value in row.items()}
    return json.dumps({k: str(v) if isinstance(v, float) and math.isinf(v) else v for k, v in plain.items()}) + "\n"
