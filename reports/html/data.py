"""The data of the page's script, as JSON that no text can break out of."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from isrbench.harness.api.metric import Direction
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.html.images import CopiedImage
from isrbench.reports.tables.table import heading


def gallery_data(compared: ComparedSet, copied: Sequence[CopiedImage]) -> dict[str, Any]:
    """Return everything that the gallery and the viewer show of one set."""
    aligned = compared.aligned
    places = {image: place for place, image in enumerate(aligned.images.index)}
    return {
        "dataset": aligned.title,
        "labels": list(aligned.labels),
        "metrics": [
            {"id": m.id, "title": m.title, "heading": heading(m), "decimals": m.decimals,
             "higher": m.direction is Direction.HIGHER}
            for m in aligned.metrics if m.id in aligned.values
        ],
        "dimensions": list(DIMENSIONS),
        "strata": [{"name": s.name, "images": [places[i] for i in s.images]} for s in compared.strata],
        "images": [_image(aligned, image, copied[place]) for image, place in places.items()],
    }  # fmt: skip


def script_json(data: Sequence[Mapping[str, Any]]) -> str:
    """Return JSON whose texts cannot end the ``<script>`` element that holds it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _image(aligned: AlignedRuns, image: str, copied: CopiedImage) -> dict[str, Any]:
    facts = aligned.images.loc[image]
    level = facts["level"]
    return {
        "name": image,
        "lr": [copied.lr.file, copied.lr.thumbnail],
        "hr": [copied.hr.file, copied.hr.thumbnail],
        "out": [[version.file, version.thumbnail] for version in copied.outputs],
        "severity": _number(facts["severity"]),
        "dims": [_number(facts[d]) for d in DIMENSIONS],
        "level": None if level is None or pd.isna(level) else str(level),
        "active": [_number(aligned.active.loc[image, label]) for label in aligned.labels],
        "status": [str(aligned.status.loc[image, label]) for label in aligned.labels],
        "values": {m: [_number(v) for v in table.loc[image]] for m, table in aligned.values.items()},
    }


def _number(value: Any) -> float | str | None:
    """Return a number for JSON, which has neither NaN nor infinity."""
    if value is None or pd.isna(value):
        return None
    return round(float(value), 6) if math.isfinite(value) else ("inf" if value > 0 else "-inf")
