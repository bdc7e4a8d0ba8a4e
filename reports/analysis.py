"""What is computed from the aligned rows beyond the tables of means: one form for tables, CSV files and the page."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from isrbench.reports.tables.table import Table


@dataclass(frozen=True)
class Analysis:
    """One question answered, or why it cannot be."""

    name: str
    """Such as ``interaction``: names the CSV file."""
    table: Table
    """To print; without rows where the question has no answer, and then the caption says why in one line."""
    rows: pd.DataFrame
    """All numbers at full precision; empty where the question has no answer."""


def unanswered(name: str, title: str, why: str) -> Analysis:
    """Return an analysis that says why there is none."""
    return Analysis(name, Table(title=title, caption=why, metrics=(), n=0, rows=()), pd.DataFrame())
