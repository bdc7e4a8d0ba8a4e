"""SEAL's evaluation of Set14-SE: how a method stands between two lines, degradation by degradation.

Zhang et al., SEAL: A Framework for Systematic Evaluation of Real-World Super-Resolution, ICLR 2024. The acceptance line
is a small network (FSRCNN), the excellence line a large one (SRResNet), each trained on one degradation alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.analysis import Analysis, unanswered
from isrbench.reports.tables.table import Entry, Table

DATASET = "Set14-SE"
_FILE = Path(__file__).parent / "seal-lines.csv"
"""Means over the 14 images of each degradation, as the authors publish them (XPixelGroup/SEAL,
scripts/metrics/Set14_SE/line.csv): Y channel, no border, which is also how PSNR and SSIM are computed here."""
_APART = {"psnr": 0.1, "ssim": 0.01}
"""Metrics that the lines are known of -> degradations whose lines are closer are left out, as in the authors' table."""
_NAME = "seal"
_FIGURES = {
    "acceptance_rate": "AR, share of degradations on or above the acceptance line (higher is better)",
    "rpr_spread": "RPR I, spread between the quartiles (lower is better)",
    "rpr_accepted": "RPR A, mean where accepted (higher is better)",
    "rpr_others": "RPR U, mean where not accepted (higher is better)",
}


@dataclass(frozen=True)
class Seal:
    """A method between SEAL's lines, in one metric."""

    cases: int
    """Degradations that count."""
    acceptance_rate: float
    """AR: share of them where the method is on the acceptance line or above it."""
    rpr_spread: float
    """RPR_I: distance between the quartiles of the relative performance ratio."""
    rpr_accepted: float | None
    """RPR_A: its mean over accepted degradations; None where there is none. 0.5 = acceptance, 0.73 = excellence."""
    rpr_others: float | None
    """RPR_U: its mean over the others; None where there is none."""


def seal_lines(metric: str) -> pd.DataFrame:
    """Return the columns acceptance and excellence by degradation (``deg_0``, ...), without those that do not count.

    Args:
        metric: ``psnr`` or ``ssim``.
    """
    rows = pd.read_csv(_FILE, index_col="case")
    lines = rows[[f"{metric}_acceptance", f"{metric}_excellence"]].set_axis(["acceptance", "excellence"], axis=1)
    return lines.loc[(lines["excellence"] - lines["acceptance"]).round(6) >= _APART[metric], :]


def seal(means: pd.Series, metric: str) -> Seal:
    """Compare a method with the lines.

    The relative performance ratio of a degradation is sigmoid((Q - Q_acceptance) / (Q_excellence - Q_acceptance)).

    Args:
        means: The method's mean over the images of each degradation, by degradation; all that count, finite.
        metric: ``psnr`` or ``ssim``.
    """
    lines = seal_lines(metric)
    own = means.loc[lines.index].to_numpy(float)
    low, high = lines["acceptance"].to_numpy(float), lines["excellence"].to_numpy(float)
    ratio = 1 / (1 + np.exp(-(own - low) / (high - low)))
    accepted = own >= low
    first, third = np.quantile(ratio, (0.25, 0.75))
    return Seal(
        cases=len(own),
        acceptance_rate=float(accepted.mean()),
        rpr_spread=float(third - first),
        rpr_accepted=float(ratio[accepted].mean()) if accepted.any() else None,
        rpr_others=float(ratio[~accepted].mean()) if not accepted.all() else None,
    )


def analyse(aligned: AlignedRuns) -> tuple[Analysis, ...]:
    """Return SEAL's figures where the set is Set14-SE, else nothing."""
    if aligned.dataset != DATASET:
        return ()
    title = f"{aligned.title}: how do methods stand between SEAL's lines?"
    metrics = tuple(m for m in aligned.metrics if m.id in _APART)
    cases = aligned.images["level"].astype("object")
    if aligned.partial or not set(seal_lines("psnr").index) <= set(cases):
        return (unanswered(_NAME, title, "Not computed: it takes the whole set, with its 100 degradations."),)
    found: dict[tuple[str, str], Seal] = {}
    for metric in metrics:
        for label in aligned.labels:
            means: Any = aligned.values[metric.id][label].groupby(cases).agg(lambda column: column.mean(skipna=False))
            if np.isfinite(means).all():
                found[label, metric.id] = seal(means, metric.id)
    if not found:
        return (unanswered(_NAME, title, "Not computed: it takes PSNR or SSIM on every image."),)
    rows = [{"method": label, "metric": metric, **vars(own)} for (label, metric), own in found.items()]
    frame = pd.DataFrame(rows)
    frame.insert(0, "dataset", aligned.title)
    table = Table(
        title=title,
        caption=(
            "SEAL (ICLR 2024): acceptance rate, and relative performance ratio sigmoid((Q - acceptance) / (excellence "
            "- acceptance)) of each degradation's mean over 14 images: 0.5 on the acceptance line, 0.73 on the "
            f"excellence line. Lines as published; degradations whose lines are less than {_APART['psnr']} dB or "
            f"{_APART['ssim']} SSIM apart are left out."
        ),
        metrics=metrics,
        n=len(aligned.images),
        rows=tuple(
            (f"{label}: {words}", tuple(_entry(found.get((label, m.id)), figure) for m in metrics))
            for label in aligned.labels
            for figure, words in _FIGURES.items()
        ),
        estimator=aligned.estimator,
        corner="Method and figure",
    )
    return (Analysis(_NAME, table, frame),)


def _entry(own: Seal | None, figure: str) -> Entry:
    if own is None:
        return Entry("–", note="an image has no finite value")
    value = getattr(own, figure)
    if value is None:
        return Entry("–", note="no such degradation")
    return Entry(f"{value:.2f}", note=f"{own.cases} degradations", value=value)
