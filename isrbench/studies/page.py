"""The files of a routing study: study.md, study.json and a figure."""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd
from tabulate import tabulate

from isrbench.harness.api.metric import Metric
from isrbench.harness.files import replacing
from isrbench.reports.figures.style import Target
from isrbench.reports.statistics import DRAWS
from isrbench.studies.arms import Arm
from isrbench.studies.figure import draw_arms
from isrbench.studies.result import RoutingStudy
from isrbench.studies.verdict import margin, signed

_METHOD = f"""Each arm is a run over the same images, stored like any other. Differences are those of the arm less own
severity, image by image, with a bootstrap 95% interval ({DRAWS:,} resamples of the images) that is not corrected for
the number of arms, metrics and strata. A difference counts as none where its whole interval lies within two of the
last digit that tables print (the grey band of the figure)."""


def write_study(study: RoutingStudy) -> None:
    """Write study.md, study.json and study.png, .svg, .dark.svg and .pdf into the study's folder.

    Raises:
        OSError: If they cannot be written.
    """
    title = f"{study.title}: what routing by own severity gains"
    drawn = draw_arms(study.table, study.metrics, title, Target(study.folder, "study"))
    _write(study, "study.md", markdown(study, figure="study.svg" if drawn else ""))
    _write(study, "study.json", json.dumps(document(study), indent=2, allow_nan=False) + "\n")


def document(study: RoutingStudy) -> dict[str, Any]:
    """Return the study as values for JSON."""
    return {
        "title": study.title,
        "verdict": study.verdict,
        "sentences": list(study.sentences),
        "notes": list(study.notes),
        "arms": [
            {
                "arm": arm.id,
                "words": arm.words,
                "run": study.runs[arm.id].run,
                "active_experts": study.runs[arm.id].summary.active_experts,
                "failed": study.runs[arm.id].failed,
            }
            for arm in study.arms
        ],
        "rows": [{name: _plain(value) for name, value in row.items()} for row in study.rows()],
    }


def markdown(study: RoutingStudy, figure: str = "") -> str:
    """Return the study as GitHub Markdown.

    Args:
        study: What was found.
        figure: File name of the figure to show; "" for none.
    """
    lines = [f"# Does routing help? {study.title}", "", f"**{study.verdict}**", ""]
    lines += [f"- {text}" for text in study.sentences]
    lines += ["", *([f"![Differences to own severity]({figure})", ""] if figure else [])]
    lines += ["## Arms", "", _arms(study), "", _METHOD]
    for metric in study.metrics:
        rows = study.table.loc[study.table["metric"] == metric.id, :]
        if rows["mean"].notna().any():
            lines += ["", f"## {metric.title} {metric.direction.arrow}", "", differences(study.arms, rows, metric)]
            unit = f" {metric.unit}" if metric.unit else ""
            lines += ["", f"No difference: an interval within ±{margin(metric):g}{unit}."]
    lines += ["", *(f"- {note}" for note in study.notes)]
    return "\n".join(lines).rstrip() + "\n"


def differences(arms: tuple[Arm, ...], rows: pd.DataFrame, metric: Metric) -> str:
    """Return one metric as a Markdown table: a row an arm, its mean, and its difference in every stratum."""
    groups = dict(zip(rows["stratum"], rows["n"], strict=True))
    by_place = rows.set_index(["arm", "stratum"])
    body = []
    for arm in arms:
        mean = by_place.loc[(arm.id, "all"), "mean"]
        cells = [_difference(by_place.loc[(arm.id, group)], metric) for group in groups]
        body.append([arm.id, "–" if pd.isna(mean) else f"{mean:.{metric.decimals}f}", *cells])
    headers = ["arm", "mean", *(f"{group} (n={n})" for group, n in groups.items())]
    return tabulate(body, headers=headers, tablefmt="pipe", disable_numparse=True)


def _difference(row: Any, metric: Metric) -> str:
    if pd.isna(row["difference"]):
        return ""
    low, high = signed(row["low"], metric), signed(row["high"], metric)
    return f"{signed(row['difference'], metric)} [{low}, {high}]"


def _arms(study: RoutingStudy) -> str:
    def active(arm: Arm) -> str:
        mean = study.runs[arm.id].summary.active_experts
        return "" if mean is None else f"{mean:.2f}"

    body = [[arm.id, arm.words, active(arm), study.runs[arm.id].run] for arm in study.arms]
    return tabulate(body, headers=["arm", "what", "active experts", "run"], tablefmt="pipe", disable_numparse=True)


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: an infinite mean as "inf" or "-inf"."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _write(study: RoutingStudy, name: str, text: str) -> None:
    with replacing(study.folder / name) as partial:
        partial.write_text(text, encoding="utf-8")
