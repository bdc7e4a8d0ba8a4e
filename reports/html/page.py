"""Write the page: template, data and images into one folder with relative links and no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from isrbench.harness.api.records import Manifest
from isrbench.reports.aligned import ABSENT, AlignedRuns
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.costs import milliseconds, three_digits
from isrbench.reports.figures.style import Plot
from isrbench.reports.html.data import script_json, set_data, write_pieces
from isrbench.reports.html.images import QUALITY, CopiedImage, copied_files, copy_images
from isrbench.reports.leaderboard import has_leaderboard
from isrbench.reports.provenance import provenance
from isrbench.reports.tables.latex import latex, tabular
from isrbench.reports.tables.table import heading

_HERE = Path(__file__).parent
_SCRIPTS = ("page.js", "tables.js", "filter.js", "gallery.js", "viewer.js", "permalink.js")


@dataclass(frozen=True)
class Section:
    """What the page shows of one set."""

    compared: ComparedSet
    plots: tuple[Plot, ...]
    files: tuple[Path, ...]
    """Tables as files."""


@cache
def environment() -> jinja2.Environment:
    """One for all pages of a process: it keeps the template that it has compiled."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["heading"] = heading
    return environment


def write_page(
    sections: Sequence[Section], training: Sequence[Plot], folder: Path, *, originals: bool = False
) -> tuple[Path, list[Path]]:
    """Write ``index.html`` and all that it needs into ``folder``.

    Images are copied, so that the folder can be moved or published as it is.

    Args:
        sections: What to show.
        training: Plots of training runs.
        folder: Made where it is absent.
        originals: Copy the images themselves; else large ones become previews.

    Returns:
        The path of ``index.html``, and those of the images and of the page's data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copied = [copy_images(s.compared.aligned, folder, s.compared.slug, originals=originals) for s in sections]
    pieces = [
        write_pieces(s.compared.aligned, images, folder, s.compared.slug, number)
        for number, (s, images) in enumerate(zip(sections, copied, strict=True))
    ]
    data = [set_data(s.compared, own) for s, own in zip(sections, pieces, strict=True)]
    page = (
        environment()
        .get_template("template.html")
        .render(
            title=f"isrbench: {', '.join(s.compared.aligned.title for s in sections)}",
            sections=[_context(s, images, folder) for s, images in zip(sections, copied, strict=True)],
            training=[_plot(plot, folder) for plot in training],
            data=script_json(data),
            leaderboard=has_leaderboard([section.compared for section in sections]),
            css=(_HERE / "report.css").read_text(encoding="utf-8"),
            js="\n".join((_HERE / script).read_text(encoding="utf-8") for script in _SCRIPTS),
        )
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8")
    images = [file for own in copied for file in copied_files(own, folder)]
    return index, [*images, *(folder / link for own in pieces for link in own)]


def _context(section: Section, copied: Sequence[CopiedImage], folder: Path) -> dict[str, Any]:
    compared = section.compared
    aligned = compared.aligned
    severity = aligned.images["severity"].dropna()
    names = ["All images", *(s.name for s in compared.strata)]
    floats = [latex(table, name, tabular(table)) for name, table in compared.named_tables.items()]
    bounds = ["", *(s.bounds for s in compared.strata)]
    unreadable = [file for image in copied for file in image.unreadable]
    previews = any(version.preview for image in copied for version in image.versions)
    return {
        "provenance": provenance(aligned),
        "previews": QUALITY if previews else None,
        "title": aligned.title,
        "images": len(aligned.images),
        "labels": aligned.labels,
        "baseline": compared.baseline,
        "severity": f"{severity.mean():.3f}" if len(severity) else None,
        "metrics": aligned.metrics,
        "groups": list(zip(names, bounds, compared.tables, floats[: len(names)], strict=True)),
        "analyses": [analysis.table for analysis in compared.analyses],
        "definitions": compared.tables[0].definitions,
        "plots": [_plot(plot, folder) for plot in section.plots],
        "files": [(file.relative_to(folder).as_posix(), file.name.partition(".")[2]) for file in section.files],
        "failed": aligned.failed,
        "missing": aligned.missing,
        "absent": _absent(aligned),
        "notes": [*aligned.notes, *(f"not a readable image, left out of the gallery: {file}" for file in unreadable)],
        "runs": [_run(label, row) for label, row in aligned.runs.iterrows()],
    }


def _plot(plot: Plot, folder: Path) -> tuple[str, str, str]:
    """Return (light, dark, what it shows); links relative to the page."""
    _, light, dark, _ = (file.relative_to(folder).as_posix() for file in plot.files)
    return light, dark, plot.text


def _absent(aligned: AlignedRuns) -> list[str]:
    counts = {label: int((aligned.status[label] == ABSENT).sum()) for label in aligned.labels}
    n = len(aligned.status)
    return [f"{label} has {n - count} of {n} images" for label, count in counts.items() if count]


def _run(label: Any, row: pd.Series) -> dict[str, Any]:
    manifest: Manifest = row["manifest"]  # pyright: ignore[reportAssignmentType]
    return {
        "label": label,
        "run": row["run"],
        "created": str(row["created"])[:19].replace("T", " "),
        "device": row["device"],
        "seed": row["seed"],
        "size": row["complexity_size"] if isinstance(row["complexity_size"], str) else "–",
        "macs": three_digits(row["macs"]),
        "params": three_digits(row["params_total"]),
        "active": three_digits(row["params_active"]),
        "latency": milliseconds(row["latency_ms"]),
        "manifest": manifest.model_dump_json(indent=2),
    }
