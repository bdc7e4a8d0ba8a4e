"""Groups of images of like degradation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from harness.errors import UserError
from harness.frames import DIMENSIONS

DEFAULT = "quantile:3"
_MEND = "write quantile:3, edges:0.3,0.6, blur, blur:quantile:4 or level"


@dataclass(frozen=True)
class Rule:
    """How images are grouped."""

    by: str
    """``severity``, one of the seven dimensions, or ``level`` (the true level of a synthetic set)."""
    quantiles: int = 3
    edges: tuple[float, ...] = ()
    """Fixed inner edges; empty = quantiles of the set at hand."""


@dataclass(frozen=True)
class Stratum:
    """One group."""

    name: str
    """Such as ``severity low``."""
    bounds: str
    """Its range in words, such as ``0.12 to 0.34``; empty for levels."""
    images: tuple[str, ...]


def parse_rule(text: str) -> Rule:
    """Read ``quantile:K``, ``edges:a,b``, a dimension (alone or before either), or ``level``.

    Raises:
        UserError: If the text is none of these.
    """
    if text == "level":
        return Rule("level")
    by, rest = "severity", text
    head, _, tail = text.partition(":")
    # One of the seven dimensions is called "edges": it is meant unless numbers follow.
    if head in {*DIMENSIONS, "severity"} and (text == head or tail.startswith(("quantile:", "edges:"))):
        by, rest = head, tail or DEFAULT
    kind, _, value = rest.partition(":")
    try:
        if kind == "quantile" and int(value) >= 1:
            return Rule(by, quantiles=int(value))
        if kind == "edges":
            edges = tuple(float(edge) for edge in value.split(","))
            if np.isfinite(edges).all() and all(a < b for a, b in pairwise(edges)):
                return Rule(by, edges=edges)
    except ValueError:
        pass
    raise UserError(f"--strata '{text}' is not a way to group images", _MEND)


def strata(images: pd.DataFrame, rule: Rule) -> list[Stratum]:
    """Group ``images`` (:attr:`reports.view.View.images`); images without a value are in no group.

    Empty groups are left out. Quantile edges are those of the images at hand; a value on an edge
    belongs to the upper group.
    """
    column = images[rule.by].dropna()
    if column.empty:
        return []
    if rule.by == "level":
        levels = {str(image): level for image, level in column.items()}
        return [
            Stratum(f"level {level}", "", tuple(image for image, own in levels.items() if own == level))
            for level in sorted(set(levels.values()), key=_level_order)
        ]
    values = column.astype(float)
    inner = np.asarray(rule.edges or np.unique(np.quantile(values, np.arange(1, rule.quantiles) / rule.quantiles)))
    group = np.searchsorted(inner, values, side="right")
    names = _names(len(inner) + 1)
    found = []
    for place, name in enumerate(names):
        members = values[group == place]
        if len(members):
            bounds = f"{members.min():.2f} to {members.max():.2f}"
            found.append(Stratum(f"{rule.by} {name}", bounds, tuple(map(str, members.index.tolist()))))
    return found


def _names(count: int) -> list[str]:
    known = {1: ["all"], 2: ["low", "high"], 3: ["low", "medium", "high"]}
    return known.get(count, [f"{place + 1}/{count}" for place in range(count)])


def _level_order(level: object) -> tuple[int, str]:
    known = ("mild", "medium", "severe")
    return (known.index(level) if level in known else len(known), str(level))
