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
        "runs": [str(aligned.runs.loc[label, "run"]) for label in aligned.labels],
        "metrics": [
            {"id": m.id, "title": m.title, "heading": heading(m), "decimals": m.decimals,
             "higher": m.direction is Direction.HIGHER}
            for m in aligned.metrics if m.id in aligned.values
        ],
        "dimensions": list(DIMENSIONS),
        "strata": [{"name": s.name, "images": [places[i] for i in s.images]} for s in compared.strata],
        "images": _images(aligned, copied),
    }  # fmt: skip


def script_json(data: Sequence[Mapping[str, Any]]) -> str:
    """Return JSON whose texts cannot end the ``<script>`` element that holds it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _images(aligned: AlignedRuns, copied: Sequence[CopiedImage]) -> list[dict[str, Any]]:
    """An entry an image; columns are taken out whole, since reading a frame cell by cell takes most of the time."""
    severity = aligned.images["severity"].tolist()
    dims = aligned.images[list(DIMENSIONS)].to_numpy().tolist()
    levels = aligned.images["level"].tolist()
    labels, rows = list(aligned.labels), aligned.images.index
    active = aligned.active.loc[rows, labels].to_numpy().tolist()
    status = aligned.status.loc[rows, labels].to_numpy().tolist()
    values = {m: table.loc[rows].to_numpy().tolist() for m, table in aligned.values.items()}
    return [
        {
            "name": image,
            "lr": [copied[i].lr.file, copied[i].lr.thumbnail],
            "hr": [copied[i].hr.file, copied[i].hr.thumbnail],
            "out": [[version.file, version.thumbnail] for version in copied[i].outputs],
            "severity": _number(severity[i]),
            "dims": [_number(value) for value in dims[i]],
            "level": None if levels[i] is None or pd.isna(levels[i]) else str(levels[i]),
            "active": [_number(value) for value in active[i]],
            "status": [str(word) for word in status[i]],
            "values": {m: [_number(value) for value in table[i]] for m, table in values.items()},
        }
        for i, image in enumerate(rows)
    ]


def _number(value: Any) -> float | str | None:
    """Return a number for JSON, which has neither NaN nor infinity."""
    if value is None or pd.isna(value):
        return None
    return round(float(value), 6) if math.isfinite(value) else ("inf" if value > 0 else "-inf")
