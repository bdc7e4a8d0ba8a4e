"""What is asked: which images, and which two restorations of them, in an order that is balanced at every moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from isrbench.harness.api.records import Manifest
from isrbench.harness.errors import UserError
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.votes.files import token


@dataclass(frozen=True)
class Ballot:
    """Questions on one set's runs."""

    title: str
    """What the set is called."""
    images: tuple[str, ...]
    inputs: tuple[Path, ...]
    """The LR of each image."""
    versions: dict[str, Path]
    """Token -> restored PNG."""
    rounds: tuple[tuple[tuple[int, str, str], ...], ...]
    """Questions, (place among the images, token, token); a round holds each pair of methods once."""


def make_ballot(aligned: AlignedRuns, count: int, seed: int) -> Ballot:
    """Choose images and put the questions in order.

    Images are drawn evenly over the severities of those that all methods restored. Over all rounds each pair of methods
    meets once on each image; which image a pair meets on in a round, and the order within it, follow from the seed.

    Args:
        aligned: Two runs or more on one set.
        count: How many images at most.
        seed: Of the order.

    Raises:
        UserError: If there are fewer than two methods, or no image that all of them restored and whose files are there.
    """
    labels = aligned.labels
    if len(labels) < 2:
        raise UserError(
            f"a vote takes two methods, and of {aligned.title} there is {', '.join(labels)}",
            "run another: isrbench eval --method ID with the same --dataset",
        )
    shown = [str(image) for image in aligned.images.index if _is_there(aligned, image)]
    if not shown:
        raise UserError(
            f"{aligned.title}: there is no image whose files of all {len(labels)} methods are there",
            "name runs that have images in common: isrbench vote RUN RUN",
        )
    severity = aligned.images.loc[shown, "severity"].sort_values(kind="stable", na_position="last")
    places = np.unique(np.linspace(0, len(shown) - 1, min(count, len(shown))).round().astype(int))
    images = tuple(str(severity.index[place]) for place in places)
    return Ballot(
        title=aligned.title,
        images=images,
        inputs=tuple(Path(str(aligned.images.loc[image, "lr_path"])) for image in images),
        versions={
            _token(aligned, label, image): Path(str(aligned.outputs.loc[image, label]))
            for label in labels
            for image in images
        },
        rounds=_rounds(aligned, images, seed),
    )


def _rounds(aligned: AlignedRuns, images: Sequence[str], seed: int) -> tuple[tuple[tuple[int, str, str], ...], ...]:
    rng = np.random.default_rng(seed)
    pairs = list(combinations(aligned.labels, 2))
    orders = [rng.permutation(len(images)) for _ in pairs]
    rounds = []
    for number in range(len(images)):
        asked = []
        for pair in rng.permutation(len(pairs)):
            place = int(orders[pair][number])
            # Sorted by token, so that the file does not say which method is which; the page shuffles the sides.
            first, second = sorted(_token(aligned, label, images[place]) for label in pairs[pair])
            asked.append((place, first, second))
        rounds.append(tuple(asked))
    return tuple(rounds)


def _is_there(aligned: AlignedRuns, image: Any) -> bool:
    files = [aligned.images.loc[image, "lr_path"], *(aligned.outputs.loc[image, label] for label in aligned.labels)]
    return all(isinstance(file, str) and Path(file).is_file() for file in files)


def _token(aligned: AlignedRuns, label: str, image: str) -> str:
    manifest: Manifest = aligned.runs.loc[label, "manifest"]  # pyright: ignore[reportAssignmentType]
    return token(manifest.identity, image)
