"""The arms of the routing study: what each run changes of the usual one, and the severities that it is given."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from isrbench.harness.files import replacing
from isrbench.harness.severity.dimensions import DIMENSIONS

Vectors = Mapping[str, Sequence[float]]
"""Image id -> severity vector."""
OPTIONS = ("severities", "adapter_off", "active")
"""The options of a method that the arms set; see :class:`isrbench.harness.api.method.Routed`."""
_FIXED = 5
"""Fixed numbers of experts at most: both ends and what lies evenly between."""


@dataclass(frozen=True)
class Arm:
    """One run of the study."""

    id: str
    """As in the rows: own, other, constant, opposite, off, k=8, ..."""
    suffix: str
    """What is put behind the method's name, so that no table takes the run for the method itself."""
    words: str
    """What it is, for people."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What it sets on top of the user's options."""


OWN = Arm("own", "", "own severity: the method as it is")
_GIVEN = {
    "other": ("other-severity", "another image's severity"),
    "constant": ("constant-severity", "a constant severity, the set's mean"),
    "opposite": ("opposite-severity", "the opposite severity: the mildest image is given the worst one's"),
}


def make_arms(vectors: Vectors, offered: Sequence[str], counts: Sequence[int], seed: int, folder: Path) -> list[Arm]:
    """Return the arms that a method can run, the usual run first, and write the severities that they read.

    Args:
        vectors: What routes each image.
        offered: Which of :data:`OPTIONS` the method has.
        counts: The numbers of active experts that it can fix, rising.
        seed: Decides which other image's severity an image gets.
        folder: Where the severities are written, a file an arm.

    Raises:
        OSError: If they cannot be written.
    """
    arms = [OWN]
    if "severities" in offered:
        given = {"other": others(vectors, seed), "constant": constant(vectors), "opposite": opposite(vectors)}
        for id, (suffix, words) in _GIVEN.items():
            path = folder / f"severities-{id}.csv"
            _write(path, given[id])
            arms.append(Arm(id, suffix, words, {"severities": str(path)}))
    if "adapter_off" in offered:
        arms.append(Arm("off", "adapter-off", "the adapter off: the plain base", {"adapter_off": "true"}))
    if "active" in offered:
        for k in spread(counts):
            words = f"{k} active experts in every layer, routed by own severity"
            arms.append(Arm(f"k={k}", f"active-{k}", words, {"active": str(k)}))
    return arms


def others(vectors: Vectors, seed: int) -> dict[str, Sequence[float]]:
    """Return the vectors exchanged by a random permutation that leaves none in its place; two or more images."""
    images = sorted(vectors)
    rng, places = np.random.default_rng(seed), np.arange(len(images))
    while (order := rng.permutation(len(images)))[order == places].size:  # on average e draws
        pass
    return {image: vectors[images[other]] for image, other in zip(images, order, strict=True)}


def constant(vectors: Vectors) -> dict[str, Sequence[float]]:
    """Return the mean of all vectors for every image."""
    mean: list[float] = np.mean([vectors[image] for image in sorted(vectors)], axis=0).tolist()
    return dict.fromkeys(vectors, mean)


def opposite(vectors: Vectors) -> dict[str, Sequence[float]]:
    """Return for the image of rank i by mean severity the vector of rank n-1-i; one in the middle keeps its own."""
    ranked = sorted(vectors, key=lambda image: (float(np.mean(vectors[image])), image))
    return {image: vectors[other] for image, other in zip(ranked, reversed(ranked), strict=True)}


def spread(counts: Sequence[int]) -> list[int]:
    """Return both ends of ``counts`` and what lies evenly between, five numbers at most."""
    if len(counts) <= _FIXED:
        return list(counts)
    return [counts[round(place)] for place in np.linspace(0, len(counts) - 1, _FIXED)]


def _write(path: Path, vectors: Vectors) -> None:
    """Write vectors as the option ``severities`` reads them; every digit is kept."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *DIMENSIONS])
        writer.writerows([image, *map(repr, vectors[image])] for image in sorted(vectors))
