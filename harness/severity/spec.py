"""What an estimator is, known without loading it: where it lies, its prompts, how it looks at an image. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from isrbench.harness.documents import read_toml
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.severity.dimensions import DIMENSIONS

TINY = Path(__file__).parent / "tiny"
"""Folder of the estimator that ships (open_clip's local-dir layout)."""
FFT = "fft"
"""Spec of the estimator without weights (:mod:`isrbench.harness.severity.fft`)."""
CURVES = Path(__file__).parent / "fft.toml"
"""Its constants."""
PROMPTS = Path(__file__).parent / "prompts.toml"
MAX_CROPS = 6
"""Crops per side at most; larger images are sampled evenly, so that the cost is bounded."""

Prompts = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Curves:
    """What turns the features of an image into severities: a logistic curve for each dimension."""

    features: tuple[str, ...]
    """Names of the features, in order."""
    centre: tuple[float, ...]
    """Mean of each feature over the images of the fit."""
    spread: tuple[float, ...]
    """Standard deviation of each."""
    weights: tuple[tuple[float, ...], ...]
    """For each of ``DIMENSIONS``, the weight of each standardised feature."""
    offsets: tuple[float, ...]
    """For each of ``DIMENSIONS``, what is added."""


def folder_of(spec: str) -> Path:
    """Return where an estimator called ``spec`` lies if it is a folder."""
    return TINY if spec == "tiny" else Path(spec)


def read_prompts(path: Path = PROMPTS) -> Prompts:
    """Read the (good, bad) prompt pair of every dimension, in the order of ``DIMENSIONS``.

    Raises:
        UserError: If a dimension is missing, unknown or has no pair of texts.
    """
    table = read_toml(path, "reinstall isrbench")
    with foreign(f"{path} does not give a good and a bad prompt for each dimension", "reinstall isrbench"):
        prompts = {name: (str(table[name]["good"]), str(table[name]["bad"])) for name in DIMENSIONS}
    if unknown := sorted(set(table) - set(DIMENSIONS)):
        raise UserError(f"{path} has unknown dimensions: {', '.join(unknown)}", f"known: {', '.join(DIMENSIONS)}")
    return prompts


def read_curves(path: Path = CURVES) -> Curves:
    """Read the constants of the estimator ``fft``.

    Raises:
        UserError: If the file is absent or incomplete.
    """
    table = read_toml(path, "reinstall isrbench")
    with foreign(f"{path} does not give the constants of the estimator fft", "reinstall isrbench"):
        rows = table["features"]
        return Curves(
            features=tuple(rows),
            centre=tuple(float(row["centre"]) for row in rows.values()),
            spread=tuple(float(row["spread"]) for row in rows.values()),
            weights=tuple(tuple(float(row[name]) for row in rows.values()) for name in DIMENSIONS),
            offsets=tuple(float(table["offsets"][name]) for name in DIMENSIONS),
        )
