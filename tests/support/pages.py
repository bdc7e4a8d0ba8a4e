"""What a written page holds, read without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def set_of(page: Path, number: int = 0) -> dict[str, Any]:
    """What the page says of a set: labels, metrics, strata, pieces."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)[1])[number]


def images_of(page: Path, number: int = 0) -> list[dict[str, Any]]:
    """The images of a set, in the order of the page, from the pieces that it loads."""
    rows = []
    for link in set_of(page, number)["pieces"]:
        text = (page.parent / link).read_text(encoding="utf-8")
        of, start, found = json.loads(re.fullmatch(r"isrbench\.rows\((.*)\);\n", text, re.S)[1].join("[]"))
        assert (of, start) == (number, len(rows))
        rows += found
    return rows
