"""The paper's ablation: six adapters of one base, the same data, steps and seeds; their scores on a test set.

    isrbench tools ablate --preset sd21 --data LSDIR FFHQ --dataset DRealSR --data-root data/ --out runs/ablation
    isrbench tools ablate --data BSDS500/train BSDS500/val --validation BSDS500/test --out runs/ablation

The first restores a test set with every adapter and prints the paper's rows beside (`scores.md`, `scores.csv`), the
second makes a table of validations (`ablation.md`, `ablation.csv`). Interrupted, the same command continues.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from isrbench.harness.api.metric import Metric, Reference
from isrbench.harness.api.registry import metrics
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing
from isrbench.harness.metrics.sets import expand
from isrbench.harness.metrics.weights import ensure
from isrbench.harness.store.export import csv_text
from isrbench.methods.onestep.train.config import TrainConfig, parse_config, split_overrides
from isrbench.methods.studies.ablation import ablate, check_options, mor_config, to_table
from isrbench.methods.studies.variants import Variant, choose, paper_variants
from isrbench.reports.reported import reported_ablation
from isrbench.studies.paired import uncertainty
from isrbench.studies.restored import restore_set, scores_of
from isrbench.studies.verdict import listed, signed

log = logging.getLogger(__name__)

_COLUMNS = ("variant", "seed", "image", "metric", "value")


@dataclass(frozen=True)
class TestSet:
    """What every adapter restores, and what it is scored by."""

    __test__ = False  # no test class of pytest's

    name: str
    """A dataset's id, a card or a folder, as ``isrbench eval`` takes it."""
    id: str
    data_root: Path | None
    metrics: tuple[Metric, ...]


def find_test_set(name: str, data_root: Path | None, ids: Sequence[str] | None) -> TestSet:
    """Find a test set, and the metrics with their weights, before anything is trained.

    Args:
        name: See :class:`TestSet`.
        data_root: As for :func:`isrbench.evaluate`.
        ids: Metrics and sets of metrics; None = those of the paper's ablation that isrbench has.

    Raises:
        UserError: If the set is not whole, a metric is unknown or scores whole sets, or its weights are not here.
    """
    card = find_card(name)
    chosen: list[Metric] = [metrics().get(id) for id in (_paper_metrics() if ids is None else expand(ids))]
    for metric in chosen:
        if metric.reference is Reference.SET:
            raise UserError(
                f"{metric.id} has one value a set, and the table is made of differences image by image",
                f"leave {metric.id} out of --metrics",
            )
        ensure(metric)
    load_pairs(card, data_root)
    return TestSet(name, card.id, data_root, tuple(chosen))


def score(
    out: Path, options: Sequence[str], seeds: Sequence[int], variants: Sequence[Variant], test_set: TestSet | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train every variant with every seed, and restore the test set with each; files are written after each.

    Args:
        out: Trainings, ``runs/`` and the tables go below it.
        options: What the trainer's command line takes, the same for all.
        seeds: The seeds.
        variants: The rows; differences are to the first.
        test_set: None = validations alone.

    Returns:
        The validations as :func:`isrbench.methods.studies.ablation.ablate` returns them, and the scores: variant (its
        id), seed, image, metric, value.

    Raises:
        UserError: If a training cannot be made or continued, or an image fails.
    """
    done: list[pd.DataFrame] = []

    def restore(variant: Variant, seed: int, config: TrainConfig) -> None:
        if test_set is None:
            return
        name = variant.folder(seed)
        ids = [metric.id for metric in test_set.metrics]
        result = restore_set(
            variant, config, test_set.name, metrics=ids, runs_dir=out / "runs", name=name, data_root=test_set.data_root
        )
        rows = scores_of(result, name).assign(variant=variant.id, seed=seed)
        done.append(rows.reindex(columns=[*_COLUMNS]))
        _write(out, pd.concat(done, ignore_index=True), variants, test_set)

    validations = ablate(out, options, seeds, variants, trained=restore)
    return validations, pd.concat(done, ignore_index=True) if done else pd.DataFrame(columns=[*_COLUMNS])


def page(
    scores: pd.DataFrame, variants: Sequence[Variant], chosen: Sequence[Metric], dataset: str, published: pd.DataFrame
) -> str:
    """Return the table in Markdown: means, differences to the first variant, the paper's values, and what they are.

    A difference is the mean over images and seeds that both have, with its 95% interval; see
    :func:`isrbench.studies.paired.uncertainty`.

    Args:
        scores: As :func:`score` returns them; variants may be missing.
        variants: In the order of the rows; differences are to the first of those in ``scores``.
        chosen: The metrics, in order.
        dataset: The test set's id.
        published: As :func:`isrbench.reports.reported.reported_ablation` returns it.
    """
    rows = [variant for variant in variants if variant.id in set(scores["variant"])]
    beside = published[published["dataset"] == dataset]
    values = {(r.variant, r.metric): r.value for r in beside.itertuples()}
    titles = dict(zip(beside["metric"], beside["metric_title"], strict=True))
    known = [metric.id for metric in chosen]
    body = []
    for variant in rows:
        cells = [variant.title, str(len(set(scores["seed"][scores["variant"] == variant.id])))]
        for metric in chosen:
            cells.append(_cell(scores, variant, rows[0], metric))
            if metric.id in titles:
                cells.append(_paper_cell(values, variant, metric.id))
        body.append(cells + [_paper_cell(values, variant, id) for id in titles if id not in known])
    headers = ["variant", "seeds"]
    for metric in chosen:
        headers += [f"{metric.title} {metric.direction.arrow}"] + ["paper's"] * (metric.id in titles)
    headers += [f"paper's {title}" for id, title in titles.items() if id not in known]
    table = tabulate(body, headers=headers, tablefmt="pipe", disable_numparse=True)
    notes = _notes(scores, rows[0], dataset, chosen, published)
    return "\n\n".join([table, *notes]) + "\n"


def _notes(
    scores: pd.DataFrame, first: Variant, dataset: str, chosen: Sequence[Metric], published: pd.DataFrame
) -> list[str]:
    """Return what the table's numbers are, one paragraph each."""
    seeds = sorted(scores["seed"].unique())
    count = f"{len(set(scores['image']))} images of {dataset}, seeds {', '.join(map(str, seeds))}"
    notes = [f"{count}. In brackets the mean paired difference to {first.title} and its 95% interval, image by image."]
    if len(seeds) == 1:
        notes.append("With one seed, intervals leave out how results vary from training to training.")
    titles = dict(zip(published["metric"], published["metric_title"], strict=True))
    absent = [title for id, title in titles.items() if id not in metrics()]
    if absent:
        notes.append(f"Not measured, because isrbench has no such metric: {listed(absent)}.")
    where = listed(list(dict.fromkeys(published["dataset"])))
    if dataset in set(published["dataset"]):
        source = listed(list(dict.fromkeys(published["source"])))
        notes.append(
            f"paper's: {source}; on Stable Diffusion 2.1, 25,000 steps on LSDIR and FFHQ. Another base, other data or "
            "fewer steps are not to be compared with it, and its metrics may be other variants."
        )
    else:
        notes.append(f"The paper's ablation is on {where}, so its rows are not shown beside {dataset}.")
    return notes


def _cell(scores: pd.DataFrame, variant: Variant, first: Variant, metric: Metric) -> str:
    """Return a mean and its difference to the first variant; a dash where an image has no value."""
    own, other = (_by_seed(scores, v, metric) for v in (variant, first))
    if own.isna().any(axis=None) or own.empty:
        return "-"
    text = f"{own.to_numpy().mean():.{metric.decimals}f}"
    differences = (own - other).dropna(how="all")
    if variant.id == first.id or differences.empty or differences.isna().any(axis=None):
        return text
    if differences.size == 1:
        return f"{text} ({signed(float(differences.iloc[0, 0]), metric)})"
    found = uncertainty(differences.to_numpy())
    low, high = found.interval(0.95)
    return f"{text} ({signed(found.mean, metric)} [{signed(low, metric)}, {signed(high, metric)}])"


def _by_seed(scores: pd.DataFrame, variant: Variant, metric: Metric) -> pd.DataFrame:
    """Return a variant's values, (seeds, images)."""
    own = scores[(scores["variant"] == variant.id) & (scores["metric"] == metric.id)]
    return own.pivot(index="seed", columns="image", values="value")


def _paper_cell(values: dict[tuple[str, str], float], variant: Variant, metric: str) -> str:
    value = values.get((variant.id, metric))
    return "-" if value is None else f"{value:g}"


def _paper_metrics() -> list[str]:
    """Return the metrics of the paper's ablation that isrbench has."""
    return [id for id in dict.fromkeys(reported_ablation()["metric"]) if id in metrics()]


def _write(out: Path, scores: pd.DataFrame, variants: Sequence[Variant], test_set: TestSet) -> None:
    text = page(scores, variants, test_set.metrics, test_set.id, reported_ablation())
    with replacing(out / "scores.md") as partial:
        partial.write_text(text, encoding="utf-8")
    with replacing(out / "scores.csv") as partial:
        partial.write_text(csv_text(scores), encoding="utf-8", newline="")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ablation; every further option goes to the trainer. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="isrbench tools ablate", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="where trainings, runs and tables go")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", help="lora lora-wide moe mor-v1 mor-v2 mor; default: all")
    parser.add_argument("--dataset", help="test set to restore with every adapter: an id, a card or a folder")
    parser.add_argument("--data-root", type=Path, help="the set's own folder, or one above it")
    parser.add_argument("--metrics", help="comma-separated ids; default: those of the paper's ablation that are here")
    words, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
    args, options = parser.parse_known_args(words)
    options += overrides
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        check_options(options)
        known = paper_variants(mor_config(options))
        variants = known if args.variants is None else choose(known, args.variants)
        ids = None if args.metrics is None else [id.strip() for id in args.metrics.split(",") if id.strip()]
        if args.dataset is None and not parse_config("mor", options)[0].validation.any:
            raise UserError(
                "the table is made of validations or of a test set, and there are no photos for either",
                "pass --validation FOLDER or --dataset ID",
            )
        test_set = None if args.dataset is None else find_test_set(args.dataset, args.data_root, ids)
        args.out.mkdir(parents=True, exist_ok=True)
        validations, scores = score(args.out, options, args.seeds, variants, test_set)
    except UserError as error:
        log.error("%s", error)
        return 2
    if len(validations):
        (args.out / "ablation.csv").write_text(csv_text(validations), encoding="utf-8", newline="")
        log.info("\n%s", to_table(validations))
    if test_set is not None and len(scores):
        log.info("\n%s", (args.out / "scores.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
