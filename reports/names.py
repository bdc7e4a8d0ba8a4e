"""File names made from any text, no two of them alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST = 100
"""Letters of a name: with what is put before and behind, a folder holds 255."""


def slug(text: str) -> str:
    """Return a file name made from ``text``; two texts may share one, see :func:`unique_slugs`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST] or "x"


def unique_slugs(texts: Iterable[str]) -> dict[str, str]:
    """Return a file name for each text; where two would share one, the later gets a number: ``a-b``, ``a-b-2``."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for text in dict.fromkeys(texts):
        name, number = slug(text), 1
        while name in taken:
            number += 1
            name = f"{slug(text)}-{number}"
        taken.add(name)
        found[text] = name
    return found
