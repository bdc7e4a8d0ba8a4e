"""Write the page: template, data and images into one folder with relative links and no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from isrbench.harness.api.registry import metrics
from isrbench.reports.comparison import View
from isrbench.reports.figures.draw import Plot
from isrbench.reports.html.data import gallery_data, script_json
from isrbench.reports.html.images import Placed, place_images, placed_files
from isrbench.reports.strata import Stratum
from isrbench.reports.tables.table import Table, heading

_HERE = Path(__file__).parent
_SCRIPTS = ("page.js", "gallery.js", "viewer.js")


@dataclass(frozen=True)
class Section:
    """What the page shows of one set."""

    view: View
    name: str
    """Unlike that of any other set: names its files."""
    baseline: str | None
    strata: tuple[Stratum, ...]
    tables: tuple[Table, ...]
    """The overall table, then one a stratum."""
    plots: tuple[Plot, ...]
    files: tuple[Path, ...]
    """Tables as files."""


def write_page(sections: Sequence[Section], training: Sequence[Plot], out: Path, title: str) -> tuple[Path, list[Path]]:
    """Write ``index.html`` and all it needs below ``out``.

    Pictures are copied, so that the folder can be moved or published as it is.

    Returns:
        The path of ``index.html``, and those of the pictures.
    """
    out.mkdir(parents=True, exist_ok=True)
    placed = [place_images(section.view, out, section.name) for section in sections]
    data = [gallery_data(s.view, s.strata, p) for s, p in zip(sections, placed, strict=True)]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["heading"] = heading
    page = environment.get_template("template.html").render(
        title=title,
        sections=[_context(s, p, out) for s, p in zip(sections, placed, strict=True)],
        training=[_plot(plot, out) for plot in training],
        data=script_json(data),
        css=(_HERE / "report.css").read_text(encoding="utf-8"),
        js="\n".join((_HERE / script).read_text(encoding="utf-8") for script in _SCRIPTS),
    )
    index = out / "index.html"
    index.write_text(page, encoding="utf-8")
    return index, [file for one in placed for file in placed_files(one, out)]


def _context(section: Section, placed: Sequence[Placed], out: Path) -> dict[str, Any]:
    view = section.view
    severity = view.images["severity"].dropna()
    names = ["All images", *(s.name for s in section.strata)]
    bounds = ["", *(s.bounds for s in section.strata)]
    unreadable = [file for one in placed for file in one.unreadable]
    return {
        "dataset": view.title,
        "images": len(view.images),
        "labels": view.labels,
        "baseline": section.baseline,
        "severity": f"{severity.mean():.3f}" if len(severity) else None,
        "metrics": view.metrics,
        "groups": list(zip(names, bounds, section.tables, strict=True)),
        "protocols": section.tables[0].protocols,
        "plots": [_plot(plot, out) for plot in section.plots],
        "files": [(file.relative_to(out).as_posix(), file.name.partition(".")[2]) for file in section.files],
        "failures": _failures(view),
        "absent": _absent(view),
        "problems": _problems(view),
        "notes": [*view.notes, *(f"not a readable picture, left out of the gallery: {file}" for file in unreadable)],
        "runs": [_run(label, row) for label, row in view.runs.iterrows()],
    }


def _plot(plot: Plot, out: Path) -> tuple[str, str, str]:
    """(light, dark, what it shows); links relative to the page."""
    _, light, dark = (file.relative_to(out).as_posix() for file in plot.files)
    return light, dark, plot.text


def _failures(view: View) -> list[dict[str, str]]:
    """Images that a method failed on. An image that a run does not hold is no failure."""
    found = []
    for label in view.labels:
        for image in view.status.index[view.status[label] == "failed"]:
            error = view.errors.loc[image, label]
            found.append({"label": label, "image": str(image), **_error(error)})
    return found


def _absent(view: View) -> list[str]:
    counts = {label: int((view.status[label] == "absent").sum()) for label in view.labels}
    n = len(view.status)
    return [f"{label} holds {n - count} of {n} images" for label, count in counts.items() if count]


def _problems(view: View) -> list[dict[str, Any]]:
    """Metrics without a value on restored images, with what says how to fix it."""
    titles = {id: metrics().get(id).title for id in view.problems["metric"].unique() if id in metrics()}
    return [
        {
            "label": row["label"],
            "metric": titles.get(row["metric"], row["metric"]),
            "status": row["status"],
            "images": row["images"],
            **_error(row["error"]),
        }
        for _, row in view.problems.iterrows()
    ]


def _error(error: Any) -> dict[str, str]:
    """What to show at once (a message, or a traceback's last line), and the rest."""
    text = error.strip() if isinstance(error, str) else ""
    traceback = "Traceback" in text
    return {"brief": text.splitlines()[-1] if traceback else text, "traceback": text if traceback else ""}


def _run(label: Any, row: pd.Series) -> dict[str, Any]:
    latency: Any = row["latency_ms"]
    return {
        "label": label,
        "run": row["run"],
        "created": str(row["created"])[:19].replace("T", " "),
        "device": row["device"],
        "seed": row["seed"],
        "size": row["complexity_size"] if isinstance(row["complexity_size"], str) else "–",
        "macs": scaled(row["macs"]),
        "params": scaled(row["params_total"]),
        "active": scaled(row["params_active"]),
        "latency": "–" if latency is None or pd.isna(latency) else f"{latency:,.3g} ms",
        "manifest": json.dumps(row["manifest"], indent=2, ensure_ascii=False, default=str),
    }


def scaled(value: Any) -> str:
    """Three digits with the prefix that fits: ``3.15 M``; ``–`` where unknown."""
    if value is None or pd.isna(value):
        return "–"
    for unit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.3g} {prefix}"
    return f"{value:.3g}"
