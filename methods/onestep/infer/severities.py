"""Severities that a user gives in a file, in place of an estimate."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from isrbench.harness.documents import read_csv
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS

_FIX = f"write a CSV file with the columns image,{','.join(DIMENSIONS)}"


class FileSeverities:
    """Severity vectors from a CSV file with a line for every image.

    The columns are ``image`` and the seven of DIMENSIONS, in any order; others are ignored, so that the table of images
    that ``isrbench export`` writes will do.

    Raises:
        UserError: If the file cannot be read, lacks a column, or holds something else than numbers in [0, 1].
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._vectors: dict[str, tuple[float, ...]] = {}
        columns, rows = read_csv(path, _FIX, "severities file")
        absent = [name for name in ("image", *DIMENSIONS) if name not in columns]
        if absent:
            raise UserError(f"severities file {path} has no column {', '.join(absent)}", _FIX)
        for line, row in rows:
            image = row["image"]
            if image in self._vectors:
                raise UserError(f"{path}:{line} names '{image}' a second time", "keep one line for each image")
            self._vectors[image] = tuple(self._number(line, row, name) for name in DIMENSIONS)

    def of(self, image: str) -> tuple[float, ...]:
        """Return the image's severity vector, in the order of DIMENSIONS.

        Raises:
            UserError: If the file has no line for it.
        """
        if image not in self._vectors:
            raise UserError(f"severities file {self._path} has no line for image '{image}'", "add one to the file")
        return self._vectors[image]

    def hash_of(self, image: str) -> str:
        """Return the sha256 of the image's vector.

        Raises:
            UserError: If the file has no line for it.
        """
        return hashlib.sha256(json.dumps(self.of(image)).encode()).hexdigest()

    def _number(self, line: int, row: dict[str, str | None], name: str) -> float:
        text = row[name] or ""
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1:
            raise UserError(f"{self._path}:{line}: {name} is '{text}'", "write a number from 0 to 1")
        return value
