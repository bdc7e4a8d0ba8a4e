"""Fit the constants of the severity estimator without weights, ``fft``, to photos with known degradations.

    isrbench tools fit-fft --data BSDS500/train --seed 0 --out harness/severity/fft.toml

Each dimension is a logistic regression on the features of :mod:`isrbench.harness.severity.spectrum`, by cross entropy
with the severities of :mod:`isrbench.harness.severity.training_data`, where they are known.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.fft import standardise
from isrbench.harness.severity.spec import Curves
from isrbench.harness.severity.spectrum import BLOCK, FEATURES, features
from isrbench.harness.severity.training_data import (
    REDUCTIONS,
    degrade_apart,
    degrade_twice,
    detail_loss,
    edge_loss,
    read_images,
)

log = logging.getLogger(__name__)

GREY = 0.1
"""Share of the images that are grey: without any, chroma that is absent would be unlike all of the fit."""
DIGITS = 5
"""Significant digits of the constants."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the constants, beside the photos."""

    draws: int = 5000
    seed: int = 0
    ridge: float = 1e-3
    """Penalty on the squared weights."""


def draw_image(photo: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Degrade a random window of a photo, half of the time at a level, else by each dimension on its own.

    Args:
        photo: float32 (3, H, W) in [0, 1].
        rng: Source of every draw.

    Returns:
        The LR, float32 (3, h, w), whose JPEG grid begins anywhere, and its severities (7,) in [0, 1], NaN where
        unknown.
    """
    scale = int(rng.choice(REDUCTIONS))
    side = min(photo.shape[1:]) // (scale * BLOCK) * BLOCK
    top, left = (int(rng.integers(length - side * scale + 1)) for length in photo.shape[1:])
    hr = photo[:, top : top + side * scale, left : left + side * scale]
    if rng.random() < GREY:
        hr = hr.mean(0, keepdim=True).expand(3, -1, -1)
    clean = F.interpolate(hr[None], (side, side), mode="bicubic", antialias=True)[0].clamp(0, 1)
    if rng.random() < 0.5:
        lr, known = degrade_twice(hr, float(rng.random()), scale, rng)
    else:
        lr, known = degrade_apart(clean, rng)
    down, right = (int(offset) for offset in rng.integers(BLOCK, size=2))
    lr, clean = (image[:, down:, right:] for image in (lr, clean))
    known = {**known, "edges": edge_loss(lr, clean), "detail": detail_loss(lr, clean)}
    return lr, torch.tensor([known.get(name, math.nan) for name in DIMENSIONS])


def fit(photos: list[Tensor], recipe: Recipe) -> tuple[Curves, dict[str, float]]:
    """Draw the images, measure them and fit a curve to each dimension.

    Returns:
        The constants, and the cross entropy of each dimension after the fit.
    """
    measured, targets = [], []
    for index in range(recipe.draws):
        lr, target = draw_image(photos[index % len(photos)], np.random.default_rng([recipe.seed, index]))
        measured.append(features(lr))
        targets.append(target.double())
        if (index + 1) % 1000 == 0:
            log.info("%d of %d images measured", index + 1, recipe.draws)
    values, known = torch.stack(measured), torch.stack(targets)
    centre, spread = (_rounded(statistic) for statistic in (values.mean(0), values.std(0)))
    x = standardise(values, centre, spread)
    weights, offsets, losses = [], [], {}
    for column, name in enumerate(DIMENSIONS):
        rows = ~known[:, column].isnan()
        solution, losses[name] = _logistic(x[rows], known[rows, column], recipe.ridge)
        solution = _rounded(solution).tolist()
        weights.append(tuple(solution[:-1]))
        offsets.append(solution[-1])
    return Curves(FEATURES, tuple(centre.tolist()), tuple(spread.tolist()), tuple(weights), tuple(offsets)), losses


def _logistic(x: Tensor, target: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Return weights and offset (F + 1,), and the cross entropy that they leave."""
    solution = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([solution], max_iter=500, line_search_fn="strong_wolfe")

    def entropy() -> Tensor:
        return F.binary_cross_entropy_with_logits(x @ solution[:-1] + solution[-1], target)

    def closure() -> float:
        optimizer.zero_grad()
        loss = entropy() + ridge * solution[:-1].square().sum()
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    return solution.detach(), float(entropy().detach())


def _rounded(values: Tensor) -> Tensor:
    return torch.tensor([float(f"{value:.{DIGITS}g}") for value in values.tolist()], dtype=torch.float64)


def write_curves(path: Path, curves: Curves, made: Sequence[str]) -> None:
    """Write the constants as TOML, one line a feature, below comments that say how they were made."""
    lines = [*(f"# {line}" for line in made), "", "[offsets]"]
    lines += [f"{name} = {offset!r}" for name, offset in zip(DIMENSIONS, curves.offsets, strict=True)]
    lines += ["", "[features]"]
    for index, name in enumerate(curves.features):
        row = {"centre": curves.centre[index], "spread": curves.spread[index]}
        row |= {dimension: curves.weights[k][index] for k, dimension in enumerate(DIMENSIONS)}
        lines.append(f'"{name}" = {{ {", ".join(f"{key} = {value!r}" for key, value in row.items())} }}')
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def main(argv: list[str] | None = None) -> int:
    """Fit, and write what was fitted; return 2, with one message, where that cannot be."""
    parser = argparse.ArgumentParser(prog="isrbench tools fit-fft", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of photos to fit to")
    parser.add_argument("--out", type=Path, required=True, help="file to write (TOML)")
    parser.add_argument("--draws", type=int, default=Recipe.draws, help="degraded images to fit to")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # the same constants on any number of cores
    recipe = Recipe(draws=args.draws, seed=args.seed)
    try:
        if recipe.draws < 2:
            raise UserError(f"--draws is {recipe.draws}", "choose thousands: the fit has 36 unknowns a dimension")
        photos = read_images(args.data)
        if not args.out.parent.is_dir():
            raise UserError(f"the folder of --out {args.out} does not exist", "make it first")
    except UserError as error:
        log.error("%s", error)
        return 2
    curves, losses = fit(photos, recipe)
    data = " ".join("/".join(folder.parts[-2:]) for folder in args.data)
    releases = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pillow"))
    made = [
        "Constants of the severity estimator `fft`: see docs/severity.md.",
        f"isrbench tools fit-fft --data {data} --draws {recipe.draws} --seed {recipe.seed}",
        f"{len(photos)} photos; {releases}",
        "cross entropy: " + ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items()),
    ]
    write_curves(args.out, curves, made)
    for line in made[2:]:
        log.info("%s", line)
    log.info("wrote %s", args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
