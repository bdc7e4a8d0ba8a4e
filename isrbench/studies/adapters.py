"""Do MoR's parts help? Train adapters of one base on the same items, restore the same photos, and compare pair by pair.

    isrbench tools study-adapters --preset tiny-gen --data BSDS500/train --photos BSDS500/test --out runs/gen

Interrupted, the same command continues. docs/studies/mor.md says what is compared and why.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from isrbench.harness.api.metric import Metric
from isrbench.harness.api.registry import metrics
from isrbench.harness.data.synthetic import make_set, photo_files
from isrbench.harness.engine.evaluate import RunResult, evaluate
from isrbench.harness.errors import UserError
from isrbench.harness.files import replacing
from isrbench.harness.imaging.listing import list_images
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.export import csv_text
from isrbench.methods.onestep.train.config import TrainConfig, parse_config, split_overrides
from isrbench.methods.onestep.train.degrade import LEVELS as LEVELS_NAME
from isrbench.methods.studies.ablation import check_options, mor_config, train_variant
from isrbench.methods.studies.variants import ORACLE, Variant, choose, controls, paper_variants
from isrbench.studies.adapters_page import page
from isrbench.studies.paired import Question, compare_arms
from isrbench.studies.restored import restore_set, scores_of

log = logging.getLogger(__name__)

LEVELS = (0.2, 0.5, 0.8)
"""Severity levels of the test photos; the oracle's parts, of equal width, hold one each."""
METRICS = ("psnr", "gmsd")
ORACLE_ARM = "oracle"
"""The arm of the specialists, chosen by the true level."""
BICUBIC, OFF = "bicubic", "off"
QUESTIONS = (
    Question(ORACLE_ARM, "lora", "what a router by severity could gain at most"),
    Question("mor", "lora", "a mixture of ranks against a dense LoRA of the active rank"),
    Question("mor", "lora-wide", "against a dense LoRA of all its ranks"),
    Question("mor", "mor-blind", "routing by severity against no severity"),
    Question("mor", "mor-shuffled", "against training with other images' severity"),
    Question("mor", "mor-v1", "zero slots"),
    Question("mor", "mor-v2", "the degradation-aware balance loss"),
    Question("mor", "moe", "ranks as experts against LoRAs as experts"),
    Question("mor-fft", "mor", "a severity without weights against CLIP's"),
    Question("lora", OFF, "what a dense LoRA adds to the base"),
    Question("mor", OFF, "what MoR adds to the base"),
)


@dataclass(frozen=True)
class Plan:
    """What is trained and what is restored."""

    out: Path
    """Trainings, the sets made of the photos, and runs go below it."""
    options: tuple[str, ...]
    """What the trainer's command line takes, the same for all."""
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    sets: dict[float, Path]
    """Level -> the card of the set of all photos at this level."""


def make_plan(
    out: Path, options: Sequence[str], arms: Sequence[str], seeds: Sequence[int], photos: Path, crop: int
) -> Plan:  # fmt: skip
    """Choose the variants, and degrade the photos' centres at every level.

    Args:
        out: See :class:`Plan`.
        options: See :class:`Plan`.
        arms: Ids of variants; ``oracle`` stands for all its parts.
        seeds: Seeds to train with.
        photos: A folder of photos.
        crop: Side of the photos' centres in pixels.

    Raises:
        UserError: If an arm is unknown, an option is the study's own, a seed is named twice, or the photos do not fit.
    """
    check_options(options)
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds names one seed twice: {' '.join(map(str, seeds))}", "name each seed once")
    mor = mor_config(options)
    if ORACLE_ARM in arms and parse_config("mor", options)[0].data.degradations != (LEVELS_NAME,):
        raise UserError(
            "the oracle's parts are those of the severity scale, but trainings draw other degradations too",
            f"add data.degradations='[\"{LEVELS_NAME}\"]', or leave out the arm {ORACLE_ARM}",
        )
    known = (*paper_variants(mor), *controls(mor, len(LEVELS)))
    specialists = [variant.id for variant in known if variant.id.startswith(ORACLE)]
    variants = choose(known, [id for arm in arms for id in (specialists if arm == ORACLE_ARM else [arm])])
    files = photo_files(photos)
    sets = {}
    for level in LEVELS:
        folder = out / "sets" / f"level-{level:g}-{crop}"
        sets[level] = folder / "card.toml"
        if sets[level].is_file():
            if sorted(path.stem for path in list_images(folder / "HR")) != sorted(f"{p.stem}_{level:g}" for p in files):
                raise UserError(f"{folder} was made of other photos than those in {photos}", "pass another --out")
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_set(files, folder, crop, [level])
    return Plan(out, tuple(options), variants, tuple(seeds), sets)


def run(plan: Plan) -> Iterator[pd.DataFrame]:
    """Train and restore, seed by seed; yield the rows of everything that is done, after each variant.

    Yields:
        One row an arm, seed, level, photo and metric: arm, seed, level, photo, metric, value. An arm that no training
        decides (bicubic, the base alone) has the same rows for every seed.
    """
    rows = [_repeated(own, plan.seeds) for own in _untrained(plan)]
    for seed in plan.seeds:
        for variant in plan.variants:
            config = train_variant(variant, plan.out, plan.options, seed)
            specialist = variant.id.startswith(ORACLE)
            for level, card in plan.sets.items():
                if specialist and not _holds(config.data.levels, level):
                    continue
                given = {"severities": _constant(card, plan.out)} if config.routed_by == "constant" else {}
                result = _restore(plan, config, variant, card, variant.folder(seed), given)
                rows.append(_rows(result, ORACLE_ARM if specialist else variant.id, seed, level))
            yield pd.concat(rows, ignore_index=True)


def study(plan: Plan) -> str:
    """Run the plan, write ``study.md`` and ``study.csv`` after each variant, and return the text."""
    text = ""
    chosen: list[Metric] = [metrics().get(id) for id in METRICS]
    for rows in run(plan):
        whole = _whole(rows)
        found = compare_arms(whole, QUESTIONS, chosen)
        text = page(whole, found, chosen)
        with replacing(plan.out / "study.md") as partial:
            partial.write_text(text, encoding="utf-8")
        with replacing(plan.out / "study.csv") as partial:
            partial.write_text(csv_text(rows), encoding="utf-8", newline="")
    return text


def _whole(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the arms that have every level, and the seeds that all of these have: what can be compared."""
    places = {arm: set(zip(own["seed"], own["level"], strict=True)) for arm, own in rows.groupby("arm")}
    seeds = set(rows["seed"])
    whole = {arm: {s for s in seeds if all((s, level) in own for level in LEVELS)} for arm, own in places.items()}
    arms = [arm for arm, own in whole.items() if own]
    common = set.intersection(*(whole[arm] for arm in arms))
    return rows.loc[rows["arm"].isin(arms) & rows["seed"].isin(common), :]


def _untrained(plan: Plan) -> Iterator[pd.DataFrame]:
    """Yield the rows of bicubic and of the base with its adapter off, by level, as those of seed 0.

    A base is run by a method, so it takes a trained MoR to switch off; without one in the plan its rows are left out.
    """
    for level, card in plan.sets.items():
        result = evaluate(
            "bicubic", card, metrics=METRICS, estimator="none", complexity=False, runs_dir=plan.out / "runs"
        )
        yield _rows(result, BICUBIC, 0, level)
    for mor in [variant for variant in plan.variants if variant.id == "mor"]:
        config = train_variant(mor, plan.out, plan.options, plan.seeds[0])
        for level, card in plan.sets.items():
            yield _rows(_restore(plan, config, mor, card, "base", {"adapter_off": "true"}), OFF, 0, level)


def _restore(
    plan: Plan, config: TrainConfig, variant: Variant, card: Path, name: str, given: dict[str, str]
) -> RunResult:  # fmt: skip
    return restore_set(variant, config, card, metrics=METRICS, runs_dir=plan.out / "runs", name=name, given=given)


def _rows(result: RunResult, arm: str, seed: int, level: float) -> pd.DataFrame:
    """Return a run's scores: photo, metric, value, arm, seed, level."""
    scores = scores_of(result, arm)
    photo = scores["image"].str.rpartition("_")[0]
    kept = pd.DataFrame({"photo": photo, "metric": scores["metric"], "value": scores["value"]})
    return kept.assign(arm=arm, seed=seed, level=level)


def _repeated(rows: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    return pd.concat([rows.assign(seed=seed) for seed in seeds], ignore_index=True)


def _holds(levels: tuple[float, float], level: float) -> bool:
    return levels[0] <= level < levels[1] or level == levels[1] == 1


def _constant(card: Path, out: Path) -> str:
    """Write a severity of 0.5 for every image of a set, as MoR-blind was trained with."""
    path = out / "sets" / f"{card.parent.name}-constant.csv"
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *DIMENSIONS])
        writer.writerows([image.stem, *[0.5] * len(DIMENSIONS)] for image in list_images(card.parent / "LR"))
    return str(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study; every further option goes to the trainer. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="isrbench tools study-adapters", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="where trainings, runs, study.md and study.csv go")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos to restore; none to train on")
    parser.add_argument("--crop", type=int, default=192, help="side of the photos' centres in pixels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--arms", nargs="+", default=["lora", "lora-wide", "mor", "mor-blind", ORACLE_ARM],
        help="lora lora-wide moe mor-v1 mor-v2 mor mor-blind mor-shuffled mor-fft oracle",
    )  # fmt: skip
    words, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
    args, options = parser.parse_known_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        plan = make_plan(args.out, [*options, *overrides], args.arms, args.seeds, args.photos, args.crop)
        text = study(plan)
    except UserError as error:
        log.error("%s", error)
        return 2
    log.info("\n%s", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
