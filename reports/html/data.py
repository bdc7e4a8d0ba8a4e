"""What the page's script knows, as JSON that no text can break out of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from isrbench.harness.api.metric import Direction
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.reports.comparison import View
from isrbench.reports.html.images import Placed
from isrbench.reports.strata import Stratum
from isrbench.reports.tables.table import heading


def gallery_data(view: View, strata: Sequence[Stratum], placed: Sequence[Placed]) -> dict[str, Any]:
    """Everything that the gallery and the viewer show of one set."""
    places = {image: place for place, image in enumerate(view.images.index)}
    return {
        "dataset": view.title,
        "labels": list(view.labels),
        "metrics": [
            {"id": m.id, "title": m.title, "heading": heading(m), "decimals": m.decimals,
             "higher": m.direction is Direction.HIGHER}
            for m in view.metrics if m.id in view.values
        ],
        "dimensions": list(DIMENSIONS),
        "strata": [{"name": s.name, "images": [places[i] for i in s.images]} for s in strata],
        "images": [_image(view, image, placed[place]) for image, place in places.items()],
    }  # fmt: skip


def script_json(data: Sequence[Mapping[str, Any]]) -> str:
    """JSON that no text within can break out of a ``<script>`` element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _image(view: View, image: str, placed: Placed) -> dict[str, Any]:
    facts = view.images.loc[image]
    level = facts["level"]
    return {
        "name": image,
        "lr": [placed.lr.file, placed.lr.thumbnail],
        "hr": [placed.hr.file, placed.hr.thumbnail],
        "out": [[version.file, version.thumbnail] for version in placed.outputs],
        "severity": _number(facts["severity"]),
        "dims": [_number(facts[d]) for d in DIMENSIONS],
        "level": None if level is None or pd.isna(level) else str(level),
        "active": [_number(view.active.loc[image, label]) for label in view.labels],
        "status": [str(view.status.loc[image, label]) for label in view.labels],
        "values": {m: [_number(v) for v in table.loc[image]] for m, table in view.values.items()},
    }


def _number(value: Any) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    if value is None or pd.isna(value):
        return None
    return round(float(value), 6) if math.isfinite(value) else ("inf" if value > 0 else "-inf")
