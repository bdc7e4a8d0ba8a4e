"""One Markdown page of results: every table, what each method costs, and the commands that ran it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd
from tabulate import tabulate

from isrbench.harness.api.records import Manifest
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.costs import condition, scatters, three_digits
from isrbench.reports.provenance import machine
from isrbench.reports.tables.render import markdown, md_text, notes_once

_PATH = re.compile(r"(?<![\w.~:/])~?/[^\s,=]+")
"""A path from the root or from home in an argument, also behind ``key=``; no address."""
_FIRST = "Written by `isrbench report --markdown FILE` from stored rows. "


def is_results_page(text: str) -> bool:
    """Return whether :func:`results_page` wrote a text."""
    return any(line.startswith(_FIRST.rstrip()) for line in text.splitlines()[:4])


def results_page(sets: Sequence[ComparedSet]) -> str:
    """Return the page: nothing in it is typed by hand, so that it can be made again from the stored rows.

    Args:
        sets: Compared sets, a section for each.
    """
    parts = ["# Results", "", _made_by(sets), ""]
    for compared in sets:
        title = md_text(compared.aligned.title)
        parts += [f"## {title}", "", *map(markdown, notes_once(compared.printed))]
        costs = _costs(compared)
        parts += [f"### {title}: cost of one image", "", *costs, ""] if costs else []
    defined = dict.fromkeys(text for compared in sets for table in compared.printed for text in table.definitions)
    parts += ["## How each metric is defined", "", *(f"- {md_text(text)}" for text in defined), ""]
    return "\n".join([*parts, "## Commands", "", *_commands(sets)]) + "\n"


def _made_by(sets: Sequence[ComparedSet]) -> str:
    calls = [call for manifest in _manifests(sets) for call in manifest.invocations[-1:]]
    machines = sorted({machine(call) for call in calls})
    dates = sorted({call.start[:10] for call in calls})
    when = f"Run {' to '.join(dict.fromkeys([dates[0], dates[-1]]))} on {'; '.join(machines)}. " if dates else ""
    return (
        f"{_FIRST}{when}Methods called (tiny) run on weights of a few million parameters that ship with isrbench, "
        "to show that the code works: they are not the published methods."
    )


def _costs(compared: ComparedSet) -> list[str]:
    """Return the table of costs, line by line; empty where no run was counted or timed."""
    aligned, rows = compared.aligned, []
    for label in aligned.labels:
        run: Mapping[str, Any] = aligned.runs.loc[label].to_dict()
        numbers = [run["macs"], run["params_total"], run["latency_ms"], run["peak_mib"]]
        if all(pd.isna(number) for number in numbers):
            continue
        texts = [three_digits(run["macs"]), three_digits(run["params_total"])]
        texts += [_digits(number) for number in (run["latency_ms"], run["peak_mib"])]
        texts[-2] += f" (scatter {run['latency_spread']:.0%})" if scatters(aligned, label) else ""
        rows.append([md_text(label), *texts, ", ".join(condition(aligned, label, "latency_ms")[:2])])
    columns = ["Method", "MACs", "parameters", "latency, ms", "peak memory, MiB", "measured at"]
    table = tabulate(
        rows, headers=columns, tablefmt="pipe", disable_numparse=True, colalign=("left", *["right"] * 4, "left")
    )
    return table.splitlines() if rows else []


def _digits(number: Any) -> str:
    if pd.isna(number):
        return "–"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _commands(sets: Sequence[ComparedSet]) -> Iterator[str]:
    """Yield the commands that worked on each run, with the names of files in place of their paths on that machine."""
    found: dict[str, None] = {}
    from_python = []
    for manifest in _manifests(sets):
        calls = [call.argv[1:] for call in manifest.invocations]
        lines = [shlex.join(_PATH.sub(_name, word) for word in words) for words in calls if "eval" in words[:2]]
        found.update(dict.fromkeys(f"    isrbench {line}" for line in lines))
        from_python += [] if lines else [md_text(manifest.title)]
    yield from found
    if from_python:
        yield f"\nRun from Python: {', '.join(dict.fromkeys(from_python))}."


def _name(path: re.Match[str]) -> str:
    return PurePath(path[0]).name


def _manifests(sets: Sequence[ComparedSet]) -> list[Manifest]:
    return [manifest for compared in sets for manifest in compared.aligned.runs["manifest"]]
