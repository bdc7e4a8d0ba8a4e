"""Stored rows as files for other tools."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Hashable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full, refuse_to_replace, replacing
from isrbench.harness.store.places import is_url, sent_to

if TYPE_CHECKING:
    import pandas as pd

    from isrbench.harness.store.frames import Frames

TABLES = ("scores", "images", "routing")

_COMPUTED = re.compile(r"[\s\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""What a spreadsheet may take for a formula: by Excel's full-width signs, too, and with space before it."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf")


def table_of(frames: Frames, table: str) -> pd.DataFrame:
    """Return one table in its public column order.

    scores: run, method, dataset, image, metric, value, status, message, fix,
    traceback. images: run, method, dataset, image, status, seconds, severity, active_experts, adapter_macs,
    adapter_params, level, hr_severity, tiles, the seven dimensions, message, fix, traceback, paths.
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
        "adapter_params", "level", "hr_severity", "tiles", *DIMENSIONS, "message", "fix", "traceback", "lr_path",
        "hr_path", "output_path",
    ]  # fmt: skip
    return frames.images.loc[:, columns]


def csv_text(frame: pd.DataFrame, *, raw: bool = False) -> str:
    """Return a frame as CSV whose texts no spreadsheet computes: names of images and messages are other people's.

    A text that begins with = + - @, a tab or an end of line gets an apostrophe before it, by which spreadsheets know
    a text. Numbers, also those written as texts (``-3.2``), stay what they are.

    Args:
        frame: The rows; the index is left out.
        raw: Write every text as it is.
    """
    texts = {column: frame[column].astype(object) for column in frame if frame[column].dtype.kind not in "biufcmM"}
    # Unquoted, a lone carriage return ends a row for most readers, and what follows would be a cell of its own.
    ends = any("\r" in cell for cells in (frame.columns, *texts.values()) for cell in cells if isinstance(cell, str))
    if not raw:
        inert = {column: cells.map(_inert) for column, cells in texts.items()}
        frame = frame.assign(**inert).rename(columns=_inert)
    quoting = csv.QUOTE_NONNUMERIC if ends else csv.QUOTE_MINIMAL
    return frame.to_csv(index=False, lineterminator="\n", quoting=quoting)


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str) or not _COMPUTED.match(cell) or _NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def export(
    frame: pd.DataFrame, target: Path | str, *, overwrite: bool = False, raw: bool = False, option: str = "--to"
) -> None:
    """Write a frame as .csv (:func:`csv_text`), .parquet or .jsonl; missing values stay missing.

    Args:
        frame: The rows.
        target: The file, whose folder has to be there; or as a text its URL (:mod:`isrbench.harness.store.places`).
        overwrite: Whether a file that is there is replaced.
        raw: Whether texts that a spreadsheet would compute are written to .csv as they are.
        option: What named ``target``, for messages.

    Raises:
        UserError: For another ending, a file that is there, or a place that cannot be written.
    """
    writers = {
        ".csv": lambda path: path.write_text(csv_text(frame, raw=raw), encoding="utf-8", newline=""),
        ".parquet": lambda path: frame.to_parquet(path, index=False),
        ".jsonl": lambda path: path.write_text("".join(map(_json_line, frame.to_dict("records"))), encoding="utf-8"),
    }
    name = PurePosixPath(target)
    if name.suffix not in writers:
        raise UserError(
            f"{option} {target}: the ending must be one of {', '.join(writers)}", f"{option} {name.stem}.csv"
        )
    if isinstance(target, str) and is_url(target):
        with sent_to(target, overwrite=overwrite, option=option) as file:
            writers[name.suffix](file)
        return
    target = Path(target)
    if not target.parent.is_dir():
        raise UserError(f"{option} {target}: the folder {target.parent} does not exist", f"mkdir -p {target.parent}")
    if not overwrite:
        refuse_to_replace([target], f"pass --overwrite, or another {option}")
    try:
        with replacing(target) as partial:
            writers[target.suffix](partial)
    except OSError as error:
        raise UserError(
            f"{option} {target} cannot be written: {error.strerror or error}",
            "make room, then the same command again" if is_full(error) else "choose a place that can be written",
        ) from error


def _json_line(row: dict[Hashable, Any]) -> str:
    """One record with every digit; JSON has no infinity, so it is spelled "inf" or "-inf" (as ``--json`` does)."""
    plain = {name: None if value is None or value != value else value for name, value in row.items()}
    return json.dumps({k: str(v) if isinstance(v, float) and math.isinf(v) else v for k, v in plain.items()}) + "\n"
