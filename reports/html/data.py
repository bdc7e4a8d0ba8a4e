"""The data of the page's script: the facts of each set in the page, its images in pieces that load one by one.

A page that is opened from disk may not fetch files, but may run them: a piece is a script that hands its rows over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from isrbench.harness.api.metric import Direction
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.html.images import CopiedImage
from isrbench.reports.tables.table import heading

PIECE = 250
"""Images of a piece: more than the gallery shows at first, and few enough to be there at once."""


def set_data(compared: ComparedSet, pieces: Sequence[str]) -> dict[str, Any]:
    """Return what the gallery and the viewer show of one set, but for its images.

    Args:
        compared: The set.
        pieces: Links to its images, of :func:`write_pieces`.
    """
    aligned = compared.aligned
    places = {image: place for place, image in enumerate(gallery_order(aligned))}
    labels = list(aligned.labels)
    severity, levels = aligned.images["severity"], aligned.images["level"]
    return {
        "dataset": aligned.title,
        "labels": labels,
        "runs": [str(aligned.runs.loc[label, "run"]) for label in labels],
        "baseline": None if compared.baseline is None else labels.index(compared.baseline),
        "newest": labels.index(newest_method(aligned, compared.baseline)),
        "metrics": [
            {"id": m.id, "title": m.title, "heading": heading(m), "decimals": m.decimals,
             "higher": m.direction is Direction.HIGHER}
            for m in aligned.metrics if m.id in aligned.values
        ],
        "dimensions": list(DIMENSIONS),
        "strata": [{"name": s.name, "images": sorted(places[i] for i in s.images)} for s in compared.strata],
        "count": len(places),
        "pieces": list(pieces),
        "has": {"severity": bool(severity.notna().any()), "level": bool(levels.notna().any()),
                "hr": bool(aligned.images["hr_path"].notna().any()),
                "active": bool(aligned.active.notna().to_numpy().any())},
    }  # fmt: skip


def newest_method(aligned: AlignedRuns, baseline: str | None) -> str:
    """Return the label of the run that was begun last, the baseline's only where there is no other."""
    others = [label for label in aligned.labels if label != baseline] or list(aligned.labels)
    return max(others, key=lambda label: str(aligned.runs.loc[label, "created"]))


def gallery_order(aligned: AlignedRuns) -> list[str]:
    """Return the images as the gallery shows them at first: the most degraded first, those without a severity last."""
    return list(aligned.images["severity"].sort_values(ascending=False, kind="stable", na_position="last").index)


def write_pieces(
    aligned: AlignedRuns, copied: Sequence[CopiedImage], folder: Path, slug: str, number: int
) -> list[str]:
    """Write the images of a set as scripts ``data/SLUG/0.js`` and so on.

    Args:
        aligned: The runs.
        copied: Their images, in the order of ``aligned.images``.
        folder: The page's.
        slug: Names the set's files.
        number: Of the set on the page.

    Returns:
        Links to them, relative to the page.
    """
    rows = _rows(aligned, copied)
    own = folder / "data" / slug
    own.mkdir(parents=True, exist_ok=True)
    links = []
    for start in range(0, len(rows), PIECE):
        file = own / f"{start // PIECE}.js"
        text = f"isrbench.rows({number},{start},{script_json(rows[start : start + PIECE])});\n"
        file.write_text(text, encoding="utf-8")
        links.append(file.relative_to(folder).as_posix())
    return links


def script_json(data: Any) -> str:
    """Return JSON whose texts cannot end the ``<script>`` element that holds it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _rows(aligned: AlignedRuns, copied: Sequence[CopiedImage]) -> list[dict[str, Any]]:
    """An entry an image; columns are taken out whole, since reading a frame cell by cell takes most of the time."""
    of_image = dict(zip(aligned.images.index, copied, strict=True))
    order, labels = gallery_order(aligned), list(aligned.labels)
    images = aligned.images.loc[order]
    severity, levels = _numbers(images["severity"]), images["level"].tolist()
    dims = [_numbers(images[name]) for name in DIMENSIONS]
    active = [_numbers(aligned.active.loc[order, label]) for label in labels]
    status = aligned.status.loc[order, labels].to_numpy().tolist()
    values = {m: [_numbers(table.loc[order, label]) for label in labels] for m, table in aligned.values.items()}
    return [
        {
            "name": image,
            "lr": [of_image[image].lr.file, of_image[image].lr.thumbnail],
            "hr": [of_image[image].hr.file, of_image[image].hr.thumbnail],
            "out": [[version.file, version.thumbnail] for version in of_image[image].outputs],
            "severity": severity[i],
            "dims": [column[i] for column in dims],
            "level": None if levels[i] is None or pd.isna(levels[i]) else str(levels[i]),
            "active": [column[i] for column in active],
            "status": [str(word) for word in status[i]],
            "values": {m: [column[i] for column in columns] for m, columns in values.items()},
        }
        for i, image in enumerate(order)
    ]


def _numbers(column: pd.Series) -> list[float | str | None]:
    """Return numbers for JSON, which has neither NaN nor infinity."""
    return [
        round(value, 6) if math.isfinite(value) else None if math.isnan(value) else "inf" if value > 0 else "-inf"
        for value in column.astype(float).tolist()
    ]
