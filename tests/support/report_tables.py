"""A small table for the tests of rendering."""

from __future__ import annotations

from pathlib import Path

from isrbench.reports.aligned import align
from isrbench.reports.reported import Reported, reported_rows
from isrbench.reports.statistics import compare_means
from isrbench.reports.tables.reported import with_reported
from isrbench.reports.tables.table import Table, score_table
from tests.support.report_frames import frames, on_dataset


def small_table(
    folder: Path, dataset: str = "sample", reported: Reported = False, count: int = 6, failed: bool = False
) -> Table:
    """Three methods compared with bicubic."""
    (aligned,) = align(on_dataset(frames(folder, count=count, failed=failed), dataset))
    cells = compare_means(aligned, list(aligned.images.index), "Bicubic")
    table = score_table(aligned, cells, dataset, len(aligned.images), "Bicubic")
    if not reported:
        return table
    return with_reported(table, [r for r in reported_rows(reported) if r.dataset == dataset], aligned, cells)
