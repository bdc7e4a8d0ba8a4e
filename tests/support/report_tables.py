"""A small table for the tests of rendering."""

from __future__ import annotations

from pathlib import Path

from isrbench.reports.aligned import align
from isrbench.reports.reported import reported_rows
from isrbench.reports.statistics import compare_means
from isrbench.reports.tables.table import Table, score_table
from tests.support.report_frames import frames, on_dataset


def small_table(
    folder: Path, dataset: str = "sample", reported: bool = False, count: int = 6, failed: bool = False
) -> Table:
    """Three methods compared with bicubic."""
    (aligned,) = align(on_dataset(frames(folder, count=count, failed=failed), dataset))
    rows = reported_rows(dataset) if reported else None
    cells = compare_means(aligned, list(aligned.images.index), "Bicubic")
    return score_table(aligned, cells, dataset, len(aligned.images), "Bicubic", rows)
