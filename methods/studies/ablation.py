"""The paper's ablation: six adapters of one base, the same data, steps and seeds; one table of validations.

Rows: the paper's section "Ablation". The tool is :mod:`isrbench.studies.ablation_scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from isrbench.harness.errors import UserError
from isrbench.harness.severity.estimator import get_estimator
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.adapter import Estimators
from isrbench.methods.onestep.train.config import TrainConfig, parse_config, validated
from isrbench.methods.onestep.train.curves import read_curves
from isrbench.methods.onestep.train.run import Run
from isrbench.methods.onestep.train.state import last_state
from isrbench.methods.studies.variants import Variant, paper_variants

Trained = Callable[[Variant, int, TrainConfig], None]
"""Told of each training that is done: what was trained, the seed, and the config that names its folder."""


def ablate(
    out: Path, options: Sequence[str], seeds: Sequence[int], chosen: Sequence[Variant] | None = None,
    estimators: Estimators = get_estimator, trained: Trained = lambda variant, seed, config: None,
) -> pd.DataFrame:  # fmt: skip
    """Train and validate every variant with every seed; ``out / "ablation.md"`` has the table of what is done.

    Args:
        out: One folder a run goes below it.
        options: What the trainer's command line takes, the same for all.
        seeds: The seeds.
        chosen: The rows; None = the paper's.
        estimators: Where the severity estimator comes from.
        trained: Told after each training.

    Returns:
        Long form: variant, seed, metric, value (of the last validation); no rows without photos for validation.

    Raises:
        UserError: If a training cannot be made or continued.
    """
    rows, columns = [], ["variant", "seed", "metric", "value"]
    for seed in seeds:  # seed by seed, so that an interrupted ablation has whole columns
        for variant in chosen or paper_variants(mor_config(options)):
            config = train_variant(variant, out, options, seed, estimators)
            curves = config.out / "curves.csv"
            # A short run without validation has drawn no curve.
            found = last_validation(curves) if curves.is_file() else {}
            if found:
                rows += [(variant.title, seed, metric, value) for metric, value in found.items()]
                (out / "ablation.md").write_text(to_table(pd.DataFrame(rows, columns=columns)))
            trained(variant, seed, config)
    return pd.DataFrame(rows, columns=columns)


def check_options(options: Sequence[str]) -> None:
    """Refuse options that the variants of an ablation set themselves.

    Raises:
        UserError: Naming the first.
    """
    for option in options:
        if option.startswith(
            ("adapter.", "adapter=", "seed=", "out=", "--seed", "--out", "routed_by=", "data.levels=")
        ):
            raise UserError(f"'{option}' is set by the ablation itself, run by run", f"leave {option} out")


def mor_config(options: Sequence[str]) -> MoRConfig:
    """Return MoR-full as a trainer's command line has it."""
    config, _ = parse_config("mor", options)
    return MoRConfig.from_json(config.adapter)


def train_variant(
    variant: Variant, out: Path, options: Sequence[str], seed: int, estimators: Estimators = get_estimator
) -> TrainConfig:
    """Train a variant in a folder of its own below ``out``, or go on where an earlier call stopped.

    Args:
        variant: What to train.
        out: One folder a run goes below it.
        options: What the trainer's command line takes.
        seed: The seed.
        estimators: Where the severity estimator comes from.

    Returns:
        The training's config; its adapter is ``config.out / "adapter.safetensors"``.
    """
    folder = out / variant.folder(seed)
    config, _ = parse_config(variant.spec.id, [*options, "--out", str(folder), "--seed", str(seed)])
    values = config.model_dump(exclude={"data"}) | {"adapter": config.adapter | variant.fields} | variant.training
    values["data"] = config.data.model_dump() | variant.training.get("data", {})
    config = validated(values)
    Run(config, variant.spec, last_state(folder / "states") is not None, estimators).loop()
    return config


def last_validation(curves: Path) -> dict[str, float]:
    """Read the last validation of a run, bicubic's values included."""
    looked = ("validation/", "bicubic/")
    return {name: points[-1][1] for name, points in read_curves(curves).items() if name.startswith(looked)}


def to_table(rows: pd.DataFrame) -> str:
    """Lay the results out as Markdown: a row a variant with its means, and how it differs from the first.

    Differences are paired by seed: their mean, and their standard deviation where there are two seeds or more.
    """
    rows = rows.loc[rows["metric"].str.startswith("validation/"), :]
    metrics, titles = list(dict.fromkeys(rows["metric"])), list(dict.fromkeys(rows["variant"]))
    values = rows.pivot(index=["variant", "seed"], columns="metric", values="value")
    lines = ["| variant | seeds | " + " | ".join(m.removeprefix("validation/") for m in metrics) + " |"]
    lines.append("| --- " * (len(metrics) + 2) + "|")
    for title in titles:
        own = values.loc[title]
        cells = []
        for metric in metrics:
            mean = own[metric].mean()
            differences = (own[metric] - values.loc[titles[0]][metric]).dropna()
            spread = f" ± {differences.std():.3f}" if len(differences) > 1 else ""
            paired = f" ({differences.mean():+.3f}{spread})" if title != titles[0] and len(differences) else ""
            cells.append("-" if pd.isna(mean) else f"{mean:.3f}{paired}")
        lines.append(f"| {title} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
