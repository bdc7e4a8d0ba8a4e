"""The paper's ablation on the tiny base: six adapters, the same data, steps and seeds; one table.

isrbench tools ablate --data BSDS500/train BSDS500/val --validation BSDS500/test --out runs/ablation

Interrupted, the same command continues. Rows: the paper's section "Ablation".
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isrbench.harness.errors import UserError
from isrbench.harness.severity.estimator import get_estimator
from isrbench.methods.lora_moe.adapter import SPEC as LORA_MOE
from isrbench.methods.mor.adapter import SPEC as MOR
from isrbench.methods.onestep.adapter import AdapterSpec, Estimators
from isrbench.methods.onestep.train.config import parse_config, split_overrides
from isrbench.methods.onestep.train.curves import read_curves
from isrbench.methods.onestep.train.run import Run
from isrbench.methods.onestep.train.state import last_state
from isrbench.methods.osediff.adapter import SPEC as OSEDIFF

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    title: str
    spec: AdapterSpec
    fields: dict[str, Any]
    """Fields of the adapter's config, laid over the preset's for its method."""


VARIANTS = (
    Variant("LoRA r16", OSEDIFF, {"rank": 16, "train_conv_in": False}),
    Variant("LoRA r40", OSEDIFF, {"rank": 40, "train_conv_in": False}),
    Variant("LoRA+MoE", LORA_MOE, {}),
    Variant("MoR-v1", MOR, {"zero_slots": 0}),
    Variant("MoR-v2", MOR, {"balance": "uniform"}),
    Variant("MoR-full", MOR, {}),
)
"""The paper's rows, and a dense LoRA of as many ranks as MoR holds. MoR-v1 has no zero slots, MoR-v2 the conventional
balance loss."""


def ablate(
    out: Path, options: Sequence[str], seeds: Sequence[int], chosen: Sequence[Variant] = VARIANTS,
    estimators: Estimators = get_estimator,
) -> pd.DataFrame:  # fmt: skip
    """Train and validate every variant with every seed.

    Args:
        out: One folder a run goes below it.
        options: What the trainer's command line takes, the same for all.
        seeds: The seeds.
        chosen: The rows.
        estimators: Where the severity estimator comes from.

    Returns:
        Long form: variant, seed, metric, value (of the last validation).
    """
    rows = []
    for seed in seeds:  # seed by seed, so that an interrupted ablation has whole columns
        for variant in chosen:
            folder = out / f"{variant.title.replace(' ', '-')}-{seed}"
            config, _ = parse_config(variant.spec.id, [*options, "--out", str(folder), "--seed", str(seed)])
            if not config.validation.folders:
                raise UserError(
                    "the table is made of validations, and there are no photos for them",
                    "pass --validation FOLDER",
                )
            config = config.model_copy(update={"adapter": config.adapter | variant.fields})
            Run(config, variant.spec, last_state(folder / "states") is not None, estimators).loop()
            for metric, value in last_validation(folder / "curves.csv").items():
                rows.append((variant.title, seed, metric, value))
            table = to_table(pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"]))
            (out / "ablation.md").write_text(table)
    return pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])


def last_validation(curves: Path) -> dict[str, float]:
    """Read the last validation of a run, bicubic's values included."""
    looked = ("validation/", "bicubic/")
    return {name: points[-1][1] for name, points in read_curves(curves).items() if name.startswith(looked)}


def to_table(rows: pd.DataFrame) -> str:
    """Lay the results out as Markdown: a row a variant, mean and standard deviation over the seeds."""
    rows = rows.loc[rows["metric"].str.startswith("validation/"), :]
    metrics = list(dict.fromkeys(rows["metric"]))
    lines = ["| variant | seeds | " + " | ".join(m.removeprefix("validation/") for m in metrics) + " |"]
    lines.append("| --- " * (len(metrics) + 2) + "|")
    for title, group in rows.groupby("variant", sort=False):
        cells = []
        for metric in metrics:
            values = group.loc[group["metric"] == metric, "value"]
            spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.3f}{spread}" if len(values) else "-")
        lines.append(f"| {title} | {group['seed'].nunique()} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ablation; every further option goes to the trainer. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    words, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
    args, options = parser.parse_known_args(words)
    options += overrides
    for option in options:
        if option.startswith(("adapter.", "adapter=", "seed=", "out=")):
            parser.error(f"the ablation sets adapter, seed and out itself: leave {option} out")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        rows = ablate(args.out, options, args.seeds)
    except UserError as error:
        log.error("%s", error)
        return 2
    rows.to_csv(args.out / "ablation.csv", index=False)
    log.info("\n%s", to_table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
