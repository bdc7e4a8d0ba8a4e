"""Where the cards lie. Apart from :mod:`harness.cards`, so that listing them needs no pydantic."""

from __future__ import annotations

from functools import cache
from pathlib import Path


def catalogue_folder() -> Path:
    """Where the cards lie: inside the wheel, or ``datasets/`` of the checkout."""
    packaged = Path(__file__).parent / "_datasets"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "datasets"


@cache
def catalogue() -> dict[str, Path]:
    """Card files that ship, by dataset id (the file's stem)."""
    return {path.stem: path for path in sorted(catalogue_folder().glob("*.toml"))}
