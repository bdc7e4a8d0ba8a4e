"""What a training needs besides the package: what is downloaded, and what a person has to get. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, int, int], None]
"""``(file name, bytes done, bytes in all)``, the last 0 where the server does not say."""


@dataclass(frozen=True)
class Held:
    """What this machine has of a download."""

    place: Path
    """The file, or the folder of the files; where they will lie if none is there."""
    size: int
    """Bytes of the files that are there."""
    lacking: tuple[str, ...] = ()
    """Names of files that are absent or not as published; empty = nothing to do."""


@dataclass(frozen=True)
class Download:
    """Files that are fetched together, and that the code which reads them finds where they are put."""

    what: str
    """What it is, such as ``base sd21``; two downloads of one name and source are one."""
    source: str
    """Where it comes from: an address, or the folder of the user's that it has to be in."""
    look: Callable[[], Held]
    """Look for the files and check those that are there. Raises UserError if they lie in a folder of the user's, who
    alone can complete it."""
    fetch: Callable[[Progress], object]
    """Fetch what is lacking; a file appears only when it is whole. Raises UserError if that fails."""


@dataclass(frozen=True)
class TrainingNeeds:
    """What a training needs that does not ship."""

    downloads: tuple[Download, ...] = ()
    by_hand: tuple[str, ...] = ()
    """What is not fetched, one sentence each: what it is, where it comes from, its license."""
