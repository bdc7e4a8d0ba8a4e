"""Write the page: template, data and images into one folder with relative links and no network."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from PIL import Image

from harness.frames import DIMENSIONS
from harness.metric import Direction
from reports.strata import Stratum
from reports.tables import Table, heading
from reports.view import View

_HERE = Path(__file__).parent
_THUMBNAIL = 240


@dataclass(frozen=True)
class Section:
    """What the page shows of one dataset."""

    view: View
    strata: tuple[Stratum, ...]
    tables: tuple[Table, ...]
    """The overall table, then one a stratum."""
    plots: tuple[tuple[str, str], ...]
    """(path relative to the page, what it shows)."""


def write_page(sections: Sequence[Section], out: Path, title: str) -> Path:
    """Write ``index.html`` and all it needs below ``out``.

    Images are linked hard into the folder where the file system allows it, and copied otherwise, so the folder can be
    moved or published as it is.

    Returns:
        The path of ``index.html``.
    """
    out.mkdir(parents=True, exist_ok=True)
    data = [_data(section, out / "images" / f"{place}") for place, section in enumerate(sections)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["heading"] = heading
    page = environment.get_template("template.html").render(
        title=title,
        sections=[_context(section) for section in sections],
        data=_script_json(data),
        css=(_HERE / "report.css").read_text(encoding="utf-8"),
        js=(_HERE / "report.js").read_text(encoding="utf-8"),
    )
    index = out / "index.html"
    index.write_text(page, encoding="utf-8")
    return index


def _context(section: Section) -> dict[str, Any]:
    view = section.view
    failures = [
        {"label": label, "image": image, "status": view.status.loc[image, label], "error": _text(view, image, label)}
        for label in view.labels
        for image in view.status.index
        if view.status.loc[image, label] != "ok"
    ]
    severity = view.images["severity"].dropna()
    names = ["All images", *(s.name for s in section.strata)]
    bounds = ["", *(s.bounds for s in section.strata)]
    return {
        "dataset": view.dataset,
        "images": len(view.images),
        "labels": view.labels,
        "severity": f"{severity.mean():.3f}" if len(severity) else None,
        "estimator": view.estimator,
        "metrics": view.metrics,
        "groups": list(zip(names, bounds, section.tables, strict=True)),
        "plots": section.plots,
        "failures": failures,
        "runs": [_run(label, row) for label, row in view.runs.iterrows()],
    }


def _text(view: View, image: str, label: str) -> str:
    """The traceback of a failed image, or nothing."""
    error = view.errors.loc[image, label]
    return error.strip() if isinstance(error, str) else ""


def _run(label: Any, row: pd.Series) -> dict[str, Any]:
    def number(name: str, unit: float, digits: int, word: str) -> str:
        value: Any = row[name]
        return "–" if value is None or pd.isna(value) else f"{value / unit:,.{digits}f} {word}".strip()

    return {
        "label": label,
        "run": row["run"],
        "created": row["created"],
        "device": row["device"],
        "seed": row["seed"],
        "size": row["complexity_size"] if isinstance(row["complexity_size"], str) else "–",
        "macs": number("macs", 1e9, 2, "G"),
        "params": number("params_total", 1e6, 2, "M"),
        "active": number("params_active", 1e6, 2, "M"),
        "latency": number("latency_ms", 1, 1, "ms"),
        "manifest": json.dumps(row["manifest"], indent=2, ensure_ascii=False, default=str),
    }


def _data(section: Section, folder: Path) -> dict[str, Any]:
    """Everything that the gallery knows, JSON-able; files are placed below ``folder``."""
    view = section.view
    places = {image: place for place, image in enumerate(view.images.index)}
    return {
        "dataset": view.dataset,
        "labels": list(view.labels),
        "metrics": [
            {"id": m.id, "title": m.title, "heading": heading(m), "decimals": m.decimals,
             "higher": m.direction is Direction.HIGHER}
            for m in view.metrics if m.id in view.values
        ],
        "dimensions": list(DIMENSIONS),
        "strata": [{"name": s.name, "images": [places[i] for i in s.images]} for s in section.strata],
        "images": [_image(view, image, f"{place:05d}", folder) for image, place in places.items()],
    }  # fmt: skip


def _image(view: View, image: str, number: str, folder: Path) -> dict[str, Any]:
    facts = view.images.loc[image]
    name = f"{number}-{re.sub(r'[^A-Za-z0-9._-]+', '_', image)[:60]}"
    outputs = [_placed(view.outputs.loc[image, label], folder / f"m{i}", name) for i, label in enumerate(view.labels)]
    first = next((view.outputs.loc[image, label] for label in view.labels if outputs[view.labels.index(label)]), None)
    shown = facts["hr_path"] if isinstance(facts["hr_path"], str) else first or facts["lr_path"]
    return {
        "name": image,
        "thumb": _thumbnail(Path(shown), folder / "thumbs", name),
        "lr": _placed(facts["lr_path"], folder / "lr", name),
        "hr": _placed(facts["hr_path"], folder / "hr", name),
        "out": outputs,
        "severity": _number(facts["severity"]),
        "dims": [_number(facts[d]) for d in DIMENSIONS],
        "level": facts["level"] if isinstance(facts["level"], str) else None,
        "active": [_number(view.active.loc[image, label]) for label in view.labels],
        "values": {m: [_number(v) for v in table.loc[image]] for m, table in view.values.items()},
    }


def _placed(source: Any, folder: Path, name: str) -> str | None:
    """Bring a file below the page's folder; its relative link, or None where there is no file."""
    if not isinstance(source, str) or not Path(source).is_file():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}{Path(source).suffix.lower()}"
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return _link(target)


def _thumbnail(source: Path, folder: Path, name: str) -> str | None:
    if not source.is_file():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.jpg"
    with Image.open(source) as opened:
        small = opened.convert("RGB")
        small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=2)
        small.save(target, quality=82)
    return _link(target)


def _link(target: Path) -> str:
    """``images/0/m1/00003-name.png``: four parts below the page."""
    return "/".join(target.parts[-4:])


def _number(value: Any) -> float | str | None:
    """JSON has neither NaN nor infinity."""
    if value is None or pd.isna(value):
        return None
    return round(float(value), 6) if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _script_json(data: Sequence[Mapping[str, Any]]) -> str:
    """JSON that no text within can break out of a ``<script>`` element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
