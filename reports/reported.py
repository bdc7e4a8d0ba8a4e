"""Results that papers report, each with its source: shown apart from what was measured here."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

_FILE = Path(__file__).parent / "reported.csv"
_ABLATION = Path(__file__).parent / "reported-ablation.csv"

_COLUMNS = {
    "psnr": "psnr", "ssim": "ssim", "lpips": "lpips", "dists": "dists", "fid": "fid", "niqe": "niqe", "musiq": "musiq",
    "maniqa": "maniqa-pipal", "clipiqa": "clipiqa",
}  # fmt: skip
"""Column of the data file -> metric id."""


def reported_rows(dataset: str) -> pd.DataFrame:
    """Return the reported rows of ``dataset``, in the file's order: method, steps, source, a column a metric id."""
    rows = pd.read_csv(_FILE).rename(columns=_COLUMNS)
    return rows.query("dataset == @dataset").drop(columns="dataset").reset_index(drop=True)


def reported_ablation() -> pd.DataFrame:
    """Return what MoR-SR's paper reports of its ablation, in long form and the paper's order.

    Columns: dataset, variant (as ``isrbench tools ablate`` names it), title (the paper's), metric (an id, whether
    isrbench has such a metric or not), metric_title, value, source.
    """
    return pd.read_csv(_ABLATION)
