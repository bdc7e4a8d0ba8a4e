"""What votes say of methods, beside what metrics say, and how far the metrics agree with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.harness.api.records import Manifest
from isrbench.reports.agreement import LEAST, kendall, resampled_means
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.analysis import Analysis, unanswered
from isrbench.reports.statistics import SEED, Cells
from isrbench.reports.tables.table import Entry, Mark, Table
from isrbench.reports.votes.bradley_terry import GROUPS, Contests, Fit, fit
from isrbench.reports.votes.files import Vote, token


def _counted(device: str) -> Any:
    raise NotImplementedError("votes are counted, not computed from images")


SCORE = Metric(
    id="preference",
    title="Preference",
    direction=Direction.HIGHER,
    reference=Reference.SET,
    colour="what people see",
    definition="Bradley-Terry score of blind votes on pairs, natural log-odds, mean 0 over the methods; a tie is half "
    "a win for each",
    build=_counted,
    decimals=2,
)
SHARE = replace(
    SCORE, id="votes_won", title="Votes won", unit="%", definition="share of a method's votes that it won", decimals=0
)


_DIGITS = 8
"""To which scores are exact: they are found step by step."""


@dataclass(frozen=True)
class Tally:
    """Votes on one set's runs."""

    labels: tuple[str, ...]
    """Methods that take part in a vote, in order of their label."""
    contests: Contests
    fit: Fit | None
    """None where no finite scores are the most likely."""
    voters: int
    images: int
    elsewhere: int
    """Votes on other runs than these."""

    @property
    def votes(self) -> NDArray[np.int64]:
        """Return how many votes each method takes part in."""
        both = np.concatenate([self.contests.first, self.contests.second])
        return np.bincount(both, minlength=len(self.labels))

    @property
    def won(self) -> NDArray[np.float64]:
        """Return how many votes each method won, a tie as half a one."""
        own = self.contests
        home, away = (
            np.bincount(who, won, len(self.labels)) for who, won in ((own.first, own.won), (own.second, 1 - own.won))
        )
        return np.asarray(home + away, np.float64)


def tally(aligned: AlignedRuns, votes: Sequence[Vote]) -> Tally:
    """Count the votes on a set's runs, and fit scores to them."""
    identities = {str(label): _identity(row) for label, row in aligned.runs.iterrows()}
    known = {
        token(identity, str(image)): (label, place)
        for label, identity in identities.items()
        for place, image in enumerate(aligned.images.index)
    }
    # Both of one image: a file that somebody wrote by hand may say otherwise.
    pairs = [(known[v.first], known[v.second], v) for v in votes if v.first in known and v.second in known]
    pairs = [(a, b, v) for a, b, v in pairs if a[1] == b[1]]
    labels = tuple(label for label in aligned.labels if any(label in (a[0], b[0]) for a, b, _ in pairs))
    contests = Contests(
        np.array([labels.index(a[0]) for a, _, _ in pairs], dtype=np.int64),
        np.array([labels.index(b[0]) for _, b, _ in pairs], dtype=np.int64),
        np.array([v.won for _, _, v in pairs], dtype=float),
        np.array([a[1] for a, _, _ in pairs], dtype=np.int64),
    )
    return Tally(
        labels=labels,
        contests=contests,
        fit=fit(contests, len(labels)) if pairs else None,
        voters=len({v.voter for _, _, v in pairs}),
        images=len({a[1] for a, _, _ in pairs}),
        elsewhere=len(votes) - len(pairs),
    )


def analyse(aligned: AlignedRuns, cells: Cells, table: Table, votes: Sequence[Vote]) -> tuple[Analysis, ...]:
    """Return the scores beside the metrics' means, and the metrics' agreement with them; nothing without votes.

    Args:
        aligned: Runs of one set.
        cells: Means over all its images.
        table: Those as they are printed.
        votes: Of any runs; those on others are counted in the caption.
    """
    if not votes:
        return ()
    counted = tally(aligned, votes)
    title = f"{aligned.title}: what do people prefer?"
    if not counted.labels:
        return (unanswered("votes", title, "Not computed: no vote is about these runs."),)
    shown = _scores(aligned, counted, table, title)
    return (shown,) if counted.fit is None else (shown, _agreement(aligned, cells, counted, counted.fit))


def _identity(row: pd.Series) -> str:
    manifest: Manifest = row["manifest"]  # pyright: ignore[reportAssignmentType]
    return manifest.identity


def _scores(aligned: AlignedRuns, counted: Tally, table: Table, title: str) -> Analysis:
    rows = _rows(aligned, counted)
    printed = {row["method"]: round(row["score"], SCORE.decimals) for row in rows if row["score"] is not None}
    order = sorted(printed.values(), reverse=True)
    marks = {label: (Mark.BEST, Mark.SECOND, Mark.NONE)[min(order.index(own), 2)] for label, own in printed.items()}
    entries = []
    for row in rows:
        measured = dict(table.rows)[row["method"]]
        note = f"{row['won']:g} of {row['votes']} votes"
        blank = "–" if row["score"] is None else f"{row['score']:+.2f}".replace("-", "−")
        interval = "" if row["low"] is None else f"[{row['low']:+.2f}, {row['high']:+.2f}]".replace("-", "−")
        score = Entry(blank, marks.get(row["method"], Mark.NONE), interval=interval, note=note, value=row["score"])
        share = Entry(f"{100 * row['won'] / row['votes']:.0f}", note=note, value=100 * row["won"] / row["votes"])
        entries.append((row["method"], (score, share, *(replace(e, interval="", sign="") for e in measured))))
    return Analysis(
        "votes",
        Table(
            title=title,
            caption=_caption(counted),
            metrics=(SCORE, SHARE, *table.metrics),
            n=counted.images,
            rows=tuple(entries),
            notes=_notes(aligned, counted),
            definitions=tuple(f"{m.title}: {m.definition}" for m in (SCORE, SHARE)),
            estimator=aligned.estimator,
        ),
        pd.DataFrame(rows),
    )


def _rows(aligned: AlignedRuns, counted: Tally) -> list[dict[str, Any]]:
    bounds = None if counted.fit is None else counted.fit.bounds
    return [
        {
            "dataset": aligned.title,
            "method": label,
            "votes": int(counted.votes[place]),
            "won": float(counted.won[place]),
            "score": None if counted.fit is None else float(counted.fit.scores[place]),
            "low": None if bounds is None else float(bounds[place, 0]),
            "high": None if bounds is None else float(bounds[place, 1]),
        }
        for place, label in enumerate(counted.labels)
    ]


def _caption(counted: Tally) -> str:
    votes, voters = len(counted.contests.won), counted.voters
    said = (
        f"{votes:,} blind vote{'s' if votes != 1 else ''} of {voters} voter{'s' if voters != 1 else ''} on "
        f"{counted.images} image{'s' if counted.images != 1 else ''}, beside the means over all images. Preference: "
        "Bradley-Terry scores, log-odds with mean 0 (1 more = preferred in 73% of votes); no difference counts as half "
        "a win for each."
    )
    if counted.fit is None:
        return f"{said} No scores: some methods never lost to the others; more votes are needed."
    if counted.fit.covariance is None:
        return f"{said} No intervals: they take votes on {GROUPS} images."
    return f"{said} Intervals: 95%, robust to votes of one image depending on each other; of other images, not voters."


def _notes(aligned: AlignedRuns, counted: Tally) -> tuple[str, ...]:
    without = [label for label in aligned.labels if label not in counted.labels]
    return (
        *([f"in no vote: {', '.join(without)}"] if without else []),
        *([f"left out: {counted.elsewhere} votes on other runs than these"] if counted.elsewhere else []),
    )


def _agreement(aligned: AlignedRuns, cells: Cells, counted: Tally, found: Fit) -> Analysis:
    title = f"{aligned.title}: do metrics rank the methods as people do?"
    name = "votes-agreement"
    if len(counted.labels) < LEAST:
        return unanswered(name, title, f"Not computed: it takes votes on {LEAST} methods.")
    resampled, rows = resampled_means(aligned), []
    for metric in aligned.metrics:
        labels = [label for label in counted.labels if cells[label, metric.id].mean is not None]
        rows.append({"dataset": aligned.title, "metric": metric.id, "methods": len(labels),
                     **_tau(metric, labels, cells, counted, found, resampled)})  # fmt: skip
    known = {row["metric"]: row for row in rows if row["tau"] is not None}
    shown = tuple(m for m in aligned.metrics if m.id in known)
    if not shown:
        return unanswered(name, title, f"Not computed: no metric has means of {LEAST} methods with votes.")
    return Analysis(
        name,
        Table(
            title=title,
            caption="Kendall's tau-b between the ranking by votes and that by a metric's means: 1 = the same order, "
            "−1 = the reverse. Intervals: 95%, means over resampled images and scores drawn from their normal "
            "approximation.",
            metrics=shown,
            n=counted.images,
            rows=(("Kendall's tau", tuple(_tau_entry(known[m.id]) for m in shown)),),
            estimator=aligned.estimator,
            corner="Agreement",
        ),
        pd.DataFrame(rows),
    )


def _tau(
    metric: Metric,
    labels: Sequence[str],
    cells: Cells,
    counted: Tally,
    found: Fit,
    resampled: Mapping[tuple[str, str], NDArray[np.float64]],
) -> dict[str, float | None]:
    nothing: dict[str, float | None] = {"tau": None, "low": None, "high": None}
    if len(labels) < LEAST:
        return nothing
    sign = 1 if metric.direction is Direction.HIGHER else -1
    places = [counted.labels.index(label) for label in labels]
    means = np.array([[sign * float(cells[label, metric.id].mean or 0.0) for label in labels]])
    # Equal scores differ in their last bits, and would not tie.
    tau = float(kendall(found.scores[None, places].round(_DIGITS), means)[0])
    if not np.isfinite(tau):
        return nothing
    keys = [(label, metric.id) for label in labels]
    if found.covariance is None or not all(key in resampled for key in keys):
        return {**nothing, "tau": tau}
    drawn = np.column_stack([sign * resampled[key] for key in keys])
    rng = np.random.default_rng(SEED)
    scores = rng.multivariate_normal(found.scores, found.covariance, len(drawn), method="eigh")[:, places]
    low, high = np.nanquantile(kendall(scores, drawn), (0.025, 0.975))
    return {"tau": tau, "low": float(low), "high": float(high)}


def _tau_entry(row: Mapping[str, Any]) -> Entry:
    low, high = row["low"], row["high"]
    interval = "" if low is None else f"[{low:+.2f}, {high:+.2f}]".replace("-", "−")
    text = f"{row['tau']:+.2f}".replace("-", "−")
    return Entry(text, interval=interval, note=f"{row['methods']} methods {interval}".strip(), value=row["tau"])
