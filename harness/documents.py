"""Texts that users write: plain text, TOML, JSON and CSV files, each read behind one door.

Whatever stands in such a file, and whatever its disk does, ends in a value or in one UserError.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import check_file, without_waiting

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

CsvRow = tuple[int, dict[str, Any]]
"""The number of the row's last line, and its texts by column; None where the line is short."""
LARGEST = 256 << 20
"""Bytes of the largest text that is read: a larger file is no text that somebody wrote."""


def read_text(path: Path, fix: str, what: str = "") -> str:
    """Read a UTF-8 text file, with or without a byte-order mark.

    Args:
        path: The file.
        fix: How to get on where it cannot be read.
        what: What it is, in words, for messages.

    Raises:
        UserError: If it is missing, no regular file, larger than ``LARGEST``, not UTF-8, or its disk fails.
    """
    check_file(path, fix, what)
    name = f"{what} {path}".lstrip()
    with foreign(f"{name} cannot be read", fix):
        with open(path, "rb", opener=without_waiting) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UserError(f"{name} cannot be read: it has more than {LARGEST >> 20} MiB, too many for a text", fix)
        return data.decode("utf-8-sig")


def read_toml(path: Path, fix: str, what: str = "") -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UserError: As :func:`read_text`, or if it is not TOML.
    """
    text = read_text(path, fix, what)
    with foreign(f"{what} {path} is not valid TOML".lstrip(), fix):
        return tomllib.loads(text)


def toml_value(text: str) -> Any:
    """Read a value as TOML writes it; text that is none, such as a word without quotes, stands for itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # TOML's errors are ValueErrors, and so are those of numbers too large
        return text


def read_json(path: Path, fix: str, what: str = "") -> Any:
    """Read a JSON file.

    Raises:
        UserError: As :func:`read_text`, or if it is not JSON; NaN and Infinity, which JSON lacks, are none.
    """

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is not a JSON number")

    text = read_text(path, fix, what)
    with foreign(f"{what} {path} is not valid JSON".lstrip(), fix):
        return json.loads(text, parse_constant=refuse)


def read_csv(path: Path, fix: str, what: str = "", *, strict: bool = False) -> tuple[list[str], list[CsvRow]]:
    """Read a CSV file whose first line names the columns.

    Args:
        path: The file.
        fix: How to get on.
        what: What it is, in words, for messages.
        strict: Refuse quotes that are out of place.

    Returns:
        The columns, and the rows.

    Raises:
        UserError: As :func:`read_text`, or if it is not CSV.
    """
    text = read_text(path, fix, what)
    with foreign(f"{what} {path} is not a CSV file".lstrip(), fix):
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=strict)
        return list(reader.fieldnames or ()), [(reader.line_num, row) for row in reader]
