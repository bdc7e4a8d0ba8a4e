"""Where the cards lie. Apart from :mod:`isrbench.harness.data.catalogue`, so that listing them needs no pydantic."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import isrbench


def catalogue_folder() -> Path:
    """Where the cards lie: ``isrbench/datasets``, in the wheel as in a checkout."""
    return Path(isrbench.__file__).parent / "datasets"


@cache
def catalogue() -> dict[str, Path]:
    """Card files that ship, by dataset id (the file's stem)."""
    return {path.stem: path for path in sorted(catalogue_folder().glob("*.toml"))}
