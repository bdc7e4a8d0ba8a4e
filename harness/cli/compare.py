"""``isrbench compare``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isrbench.harness.cli.arguments import RUNS_DIRS, Json, RunsDirs
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.api.records import Manifest
    from isrbench.reports.compared_set import ComparedSet

_WORDS = {"+": "B better", "-": "B worse", "": ""}
_LEGEND = (
    "B - A: mean paired difference on the same images, bootstrap interval.\n"
    "p: Wilcoxon signed-rank, Holm over metrics; better and worse where p < 0.05\n"
    "and means and ranks agree."
)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run (id, folder, `latest`), or a method that was run.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What is compared with it.")],
    strata: Annotated[
        str | None, typer.Option(help="Also by groups of images: quantile:3, edges:0.3,0.6, blur, level, ...")
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Compare on the images that both have.")] = False,
    runs_dir: RunsDirs = RUNS_DIRS,
    json: Json = False,
) -> None:
    """Say of every metric how far B is from A on the same images, with interval and p; of methods on every set.

    For example:

    `isrbench compare bicubic mor`

    `isrbench compare bicubic-RealSR-1a2b3c4d latest --strata quantile:3`
    """
    # By its public name: the command line does not know what lies above the harness.
    from isrbench import compare as compare_runs
    from isrbench.harness.cli.terminal import show_json, show_text
    from isrbench.harness.store.choice import find_runs, load
    from isrbench.harness.store.schema import home_of

    ones, others = find_runs(runs_dir, a), find_runs(runs_dir, b)
    if set(ones) & set(others):
        raise UserError(f"{a} and {b} are one run: {', '.join(sorted(set(ones) & set(others)))}", "name two")
    # A run folder may lie in another runs folder, where its id alone would not be found.
    named = [[name] if home_of(name) else runs for name, runs in ((a, ones), (b, others))]
    frames = load(runs_dir, [name for names in named for name in names])
    manifests: dict[str, Manifest] = {manifest.run: manifest for part in frames for manifest in part.runs["manifest"]}
    for name, runs in ((a, ones), (b, others)):
        _refuse_several(name, runs, manifests)
    compared = compare_runs(
        frames, baseline=ones[0] if len(ones) == 1 else a, strata=strata or "quantile:3", common=common
    )
    pairs = [pair for own in compared.sets if (pair := _pair(own, ones, others)) is not None]
    if not pairs:
        where = " and ".join(f"{name} was run on {_sets(runs, manifests)}" for name, runs in ((a, ones), (b, others)))
        raise UserError(f"no images in common: {where}", "run both on one set; or --common, if these sets overlap")
    if json:
        show_json([row for pair in pairs for row in pair.rows(every=strata is not None)])
        return
    for pair in pairs:
        pair.show(every=strata is not None)
    show_text(_LEGEND)
    used = {run for pair in pairs for run in pair.compared.aligned.runs["run"]}
    for run in [*ones, *others]:
        if run not in used:
            show_text(f"left out: {run}, whose images the other has not")


@dataclass(frozen=True)
class _Pair:
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

    def show(self, every: bool) -> None:
        """Print the table over all images, or with ``every`` those of each group too."""
        from isrbench.harness.cli.terminal import show_rows

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
            show_rows(f"{table.title} (n = {table.n}): A = {self.a}, B = {self.b}", columns, rows)


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


def _pair(compared: ComparedSet, ones: Sequence[str], others: Sequence[str]) -> _Pair | None:
    """Return the labels that are compared on a set; None where it has not both."""
    runs = compared.aligned.runs["run"]
    a = next((str(label) for label, run in runs.items() if run in ones), None)
    b = next((str(label) for label, run in runs.items() if run in others), None)
    return _Pair(compared, a, b) if a is not None and b is not None and a == compared.baseline else None


def _sets(runs: Sequence[str], manifests: Mapping[str, Manifest]) -> str:
    return ", ".join(sorted({manifests[run].dataset.label for run in runs}))
