"""Strata: groups of images that are degraded to a similar degree."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS

DEFAULT = "quantile:3"
_FIX = "write quantile:3, edges:0.3,0.6, blur, blur:quantile:4, hr-severity or level"
_BY = ("severity", *DIMENSIONS, "hr-severity")
_SHOWN = {"hr_severity": "HR severity"}


@dataclass(frozen=True)
class Rule:
    """How images are grouped."""

    by: str
    """``severity``, one of the seven dimensions, ``level`` (the true level of a synthetic set), or ``hr_severity`` (how
    degraded the HR itself is)."""
    quantiles: int = 3
    edges: tuple[float, ...] = ()
    """Fixed inner edges; empty = quantiles of the given images."""


@dataclass(frozen=True)
class Stratum:
    """One group."""

    name: str
    """Such as ``severity low``."""
    bounds: str
    """Its edges as an interval, such as ``[0.12, 0.34)``; empty for levels."""
    images: tuple[str, ...]


def parse_rule(text: str) -> Rule:
    """Parse ``quantile:K``, ``edges:a,b``, a dimension or ``hr-severity`` (alone or before either), or ``level``.

    Raises:
        UserError: If the text is none of these.
    """
    if text == "level":
        return Rule("level")
    by, rest = "severity", text
    head, _, tail = text.partition(":")
    # One of the seven dimensions is called "edges": it is meant unless numbers follow.
    if head in _BY and (text == head or tail.startswith(("quantile:", "edges:"))):
        by, rest = head.replace("-", "_"), tail or DEFAULT
    kind, _, value = rest.partition(":")
    try:
        if kind == "quantile" and int(value) >= 1:
            return Rule(by, quantiles=int(value))
        if kind == "edges":
            edges = tuple(float(edge) for edge in value.split(","))
            if np.isfinite(edges).all() and all(a < b for a, b in pairwise(edges)):
                return Rule(by, edges=edges)
    except ValueError:
        pass  # not a number: the error below says what is wrong, as for any other text
    raise UserError(f"strata '{text}' is not a way to group images", _FIX)


def strata(images: pd.DataFrame, rule: Rule) -> list[Stratum]:
    """Group ``images`` by ``rule``; images without a value are in no group.

    Empty groups are left out, and the others are named by their place among those that remain. Quantile edges are those
    of the given images, rounded as far as no image changes its group; a value on an edge belongs to the upper group.

    Args:
        images: :attr:`isrbench.reports.aligned.AlignedRuns.images`.
        rule: How to group them.
    """
    column = images[rule.by].dropna()
    if column.empty:
        return []
    if rule.by == "level":
        levels = {str(image): str(level) for image, level in column.items()}
        return [
            Stratum(f"level {level}", "", tuple(image for image, own in levels.items() if own == level))
            for level in sorted(set(levels.values()), key=_level_order)
        ]
    values = column.astype(float)
    inner, digits = (np.asarray(rule.edges), None) if rule.edges else _quantile_edges(values, rule.quantiles)
    group = np.searchsorted(inner, values, side="right")
    filled = [place for place in range(len(inner) + 1) if (group == place).any()]
    return [
        Stratum(
            f"{_SHOWN.get(rule.by, rule.by)} {name}",
            _interval(inner, place, digits),
            tuple(map(str, values.index[group == place].tolist())),
        )
        for name, place in zip(_names(len(filled)), filled, strict=True)
    ]


def _quantile_edges(values: pd.Series, count: int) -> tuple[NDArray[np.float64], int]:
    """Return inner edges with images on both sides of each, and the digits that they are rounded to."""
    exact: NDArray[np.float64] = np.unique(np.quantile(values, np.arange(1, count) / count)).astype(np.float64)
    places = np.searchsorted(exact, values, side="right")
    # An edge below all values, or with no image between it and the next, separates nothing.
    exact = np.array([edge for i, edge in enumerate(exact) if (places <= i).any() and (places == i + 1).any()])
    wanted = np.searchsorted(exact, values, side="right")
    least = np.array([values[wanted > i].min() for i in range(len(exact))])
    for digits in range(2, 12):
        # Any number between two groups separates them: the shortest reads best.
        for rounded in (np.round(exact, digits), np.floor(least * 10**digits) / 10**digits):
            if np.array_equal(np.searchsorted(rounded, values, side="right"), wanted):
                return rounded.astype(np.float64), digits
    return exact, 12


def _interval(inner: NDArray[np.float64], place: int, digits: int | None) -> str:
    """Return a group's interval as text. Severities lie in [0, 1], which closes the outer groups."""

    def text(edge: float) -> str:
        return f"{edge:.{digits}f}" if digits is not None else f"{edge:g}"

    low = text(inner[place - 1]) if place else "0"
    return f"[{low}, {text(inner[place])})" if place < len(inner) else f"[{low}, 1]"


def _names(count: int) -> list[str]:
    known = {1: ["all"], 2: ["low", "high"], 3: ["low", "medium", "high"]}
    return known.get(count, [f"{place + 1}/{count}" for place in range(count)])


def _level_order(level: str) -> tuple[int, float, str]:
    """Sort the sample's names from mild to severe, then numbers by size, then other words."""
    known = ("mild", "medium", "severe")
    if level in known:
        return 0, known.index(level), level
    try:
        return 1, float(level), level
    except ValueError:
        return 2, 0.0, level
