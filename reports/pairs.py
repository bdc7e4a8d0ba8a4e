"""Two runs, or two methods, compared: how far the second is from the first on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isrbench.harness.api.records import Manifest
from isrbench.harness.errors import UserError
from isrbench.harness.store.choice import find_runs, load
from isrbench.harness.store.schema import home_of
from isrbench.reports.compared_set import ComparedSet
from isrbench.reports.comparison import compare

_WORDS = {"+": "B better", "-": "B worse", "": ""}


@dataclass(frozen=True)
class Pair:
    """Two methods on one set."""

    compared: ComparedSet
    a: str
    """Label."""
    b: str

    def rows(self, every: bool) -> list[dict[str, Any]]:
        """Return a record a metric, at full precision; ``every`` = of each group of images too."""
        found: list[dict[str, Any]] = []
        for group, cells in self.compared.cells.items():
            if group != "all" and not every:
                continue
            for (label, metric), cell in cells.items():
                if label != self.b:
                    continue
                one = cells[self.a, metric]
                found.append(
                    {
                        "dataset": self.compared.aligned.title, "group": group, "metric": metric, "n": cell.n,
                        "a": self.a, "b": self.b, "mean_a": one.mean, "mean_b": cell.mean,
                        "difference": cell.difference, "low": cell.difference_low, "high": cell.difference_high,
                        "p": cell.p, "p_holm": cell.p_holm, "b_is_better": cell.better,
                        "reason": one.reason or cell.reason,
                    }
                )  # fmt: skip
        return found

    def printed(self, every: bool) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        """Return (title, columns, rows) of the table over all images, with ``every`` of those of each group too."""
        found = []
        tables = self.compared.tables if every else self.compared.tables[:1]
        for table in tables:
            entries = dict(table.rows)
            rows = []
            for metric, one, other in zip(table.metrics, entries[self.a], entries[self.b], strict=True):
                difference, interval, p = other.difference or ("–", "", "")
                blank = next((f"{n}: {e.note}" for n, e in (("A", one), ("B", other)) if e.value is None), "")
                name = f"{metric.title} {metric.direction.arrow}"
                p = p.replace("\u00a0", " ").removeprefix("p ").removeprefix("= ")
                rows.append((name, one.text, other.text, difference, interval, p, _WORDS[other.sign] or blank))
            columns = ("metric", "A", "B", "B - A", "95% interval", "p", "")
            found.append((f"{table.title} (n = {table.n}): A = {self.a}, B = {self.b}", columns, rows))
        return found


def compare_two(
    runs_dir: Sequence[Path], a: str, b: str, *, strata: str | None = None, common: bool = False
) -> tuple[list[Pair], list[str]]:
    """Compare two runs, or two methods on every set that both were run on.

    Args:
        runs_dir: Runs folders.
        a: A run (id, folder or ``latest``), or a method that was run.
        b: What is compared with it.
        strata: A rule of :mod:`isrbench.reports.strata`; None = thirds of severity.
        common: Compare on the images that both have.

    Returns:
        A pair for each set, and the runs whose images the other has not.

    Raises:
        UserError: If one of them is unknown or stands for several runs of one set, both are one, or no set is shared.
    """
    ones, others = find_runs(runs_dir, a), find_runs(runs_dir, b)
    if set(ones) & set(others):
        raise UserError(f"{a} and {b} are one run: {', '.join(sorted(set(ones) & set(others)))}", "name two")
    # A run folder may lie in another runs folder, where its id alone would not be found.
    named = [[name] if home_of(name) else runs for name, runs in ((a, ones), (b, others))]
    frames = load(runs_dir, [name for names in named for name in names])
    manifests: dict[str, Manifest] = {manifest.run: manifest for part in frames for manifest in part.runs["manifest"]}
    for name, runs in ((a, ones), (b, others)):
        _refuse_several(name, runs, manifests)
    compared = compare(frames, baseline=ones[0] if len(ones) == 1 else a, strata=strata or "quantile:3", common=common)
    pairs = [pair for own in compared.sets if (pair := _pair(own, ones, others)) is not None]
    if not pairs:
        where = " and ".join(f"{name} was run on {_sets(runs, manifests)}" for name, runs in ((a, ones), (b, others)))
        raise UserError(f"no images in common: {where}", "run both on one set; or --common, if these sets overlap")
    used = {run for pair in pairs for run in pair.compared.aligned.runs["run"]}
    return pairs, [run for run in [*ones, *others] if run not in used]


def _refuse_several(name: str, runs: Sequence[str], manifests: Mapping[str, Manifest]) -> None:
    """Refuse a method that was run with several choices of its options on one set of images.

    Raises:
        UserError: Naming the runs.
    """
    sets: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        dataset = manifests[run].dataset
        sets.setdefault((dataset.id, dataset.content_hash), []).append(run)
    several = next((own for own in sets.values() if len(own) > 1), None)
    if several is not None:
        label = manifests[several[0]].dataset.label
        raise UserError(f"{name} stands for {len(several)} runs on {label}: {', '.join(several)}", "name one of them")


def _pair(compared: ComparedSet, ones: Sequence[str], others: Sequence[str]) -> Pair | None:
    """Return the labels that are compared on a set; None where it has not both."""
    runs = compared.aligned.runs["run"]
    a = next((str(label) for label, run in runs.items() if run in ones), None)
    b = next((str(label) for label, run in runs.items() if run in others), None)
    return Pair(compared, a, b) if a is not None and b is not None and a == compared.baseline else None


def _sets(runs: Sequence[str], manifests: Mapping[str, Manifest]) -> str:
    return ", ".join(sorted({manifests[run].dataset.label for run in runs}))
