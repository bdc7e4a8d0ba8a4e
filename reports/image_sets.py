"""Which runs are about the same images, and what those sets of images are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pandas as pd

from isrbench.harness.api.records import DatasetRecord, Manifest

_Files = Mapping[str, tuple[str, str | None]]
"""Image id -> paths of its LR and HR files."""


@dataclass(frozen=True)
class ImageSet:
    """Runs of one dataset that are compared on the same images."""

    dataset: str
    """The dataset's id."""
    title: str
    """What tables call it: ``RealSR``, ``RealSR, 20 of 100 images`` or ``RealSR, on the 20 of 100 images that all runs
    share``; with the head of the content hash where two sets would be called the same."""
    content_hash: str
    """Of the images; "" where unknown."""
    partial: bool
    """Whether these are a part of the dataset's images: means over them say nothing about the whole."""
    whole: int | None
    """How many images the dataset has; None where unknown."""
    runs: tuple[str, ...]
    """Ids, sorted."""
    shared: frozenset[str] | None = None
    """The images to compare on; None for all images of the runs."""
    notes: tuple[str, ...] = ()
    """Why other runs of the dataset are compared separately."""


def image_sets(runs: pd.DataFrame, images: pd.DataFrame, *, common: bool = False) -> list[ImageSet]:
    """Group runs by the images that they are about: a dataset's id, or an image's name, says nothing about pixels.

    Runs whose images have one content hash belong together. With ``common``, sets of one dataset that overlap are
    put together as well, on the images that all their runs have: images of the same files, none of which changed
    after the earliest of the runs.

    Args:
        runs: :attr:`isrbench.harness.store.frames.Frames.runs`.
        images: :attr:`isrbench.harness.store.frames.Frames.images`.
        common: Compare on the images that all runs of a dataset share.

    Returns:
        The sets in order of the dataset's id; of one dataset whole sets first, then the larger ones.
    """
    found: list[ImageSet] = []
    for dataset in sorted(runs["dataset"].unique()):
        own = runs.loc[runs["dataset"] == dataset, :]
        sets = _of_equal_images(dataset, own, images)
        found += _with_notes(_on_shared_images(sets, own, images) if common else sets, common)
    return _with_unique_titles(found)


def _of_equal_images(dataset: str, runs: pd.DataFrame, images: pd.DataFrame) -> list[ImageSet]:
    """Return one set for each content hash; the run that knows the largest dataset names it."""
    groups: dict[str, dict[str, DatasetRecord]] = {}
    manifests: list[Manifest] = list(runs["manifest"])
    for run, manifest in zip(runs["run"], manifests, strict=True):
        groups.setdefault(manifest.dataset.content_hash, {})[run] = manifest.dataset
    found = []
    for key, records in groups.items():
        _, largest = max(records.items(), key=lambda entry: (entry[1].whole or 0, entry[0]))
        held = images.loc[images["run"].isin(list(records)), "image"].nunique()
        if 0 < held < largest.images:  # every run was stopped before the last image
            largest = largest.model_copy(update={"images": held})
        partial = largest.partial or any(record.partial for record in records.values())
        own = ImageSet(dataset, largest.label, key, partial, largest.whole, tuple(sorted(records)))
        found.append((partial, -held, key, own))
    return [own for *_, own in sorted(found, key=lambda entry: entry[:3])]


@dataclass(frozen=True)
class _Overlap:
    """Sets that have been put together so far."""

    first: ImageSet
    runs: tuple[str, ...]
    files: _Files
    """Of the images that all runs have."""
    images: int
    """How many images any of the runs has."""
    since: str
    """When the earliest run began."""


def _on_shared_images(sets: Sequence[ImageSet], runs: pd.DataFrame, images: pd.DataFrame) -> list[ImageSet]:
    """Put each set to the first one that it shares images with."""
    begun = dict(zip(runs["run"], runs["created"], strict=True))
    overlaps: list[_Overlap] = []
    for own in sets:
        found = _overlap(own, images, begun)
        for place, other in enumerate(overlaps):
            joined = _joined(other, found)
            if joined.files:
                overlaps[place] = joined
                break
        else:
            overlaps.append(found)
    return [_cut(overlap) for overlap in overlaps]


def _overlap(own: ImageSet, images: pd.DataFrame, begun: Mapping[str, str]) -> _Overlap:
    """Describe one set of equal images: some of its runs may have been stopped before the last image."""
    tables = [_files(images.loc[images["run"] == run, :]) for run in own.runs]
    held = [files for files in tables if files]
    files = {id: pair for id, pair in held[0].items() if all(id in other for other in held)} if held else {}
    every = {id for table in held for id in table}
    return _Overlap(own, own.runs, files, len(every), min(begun[run] for run in own.runs))


def _joined(one: _Overlap, other: _Overlap) -> _Overlap:
    since = min(one.since, other.since)
    files = {id: pair for id, pair in one.files.items() if other.files.get(id) == pair and _unchanged(pair, since)}
    return _Overlap(one.first, (*one.runs, *other.runs), files, max(one.images, other.images), since)


def _cut(overlap: _Overlap) -> ImageSet:
    """Turn sets that were put together into one; a set that loses no image keeps its title."""
    n, joined = len(overlap.files), replace(overlap.first, runs=tuple(sorted(overlap.runs)))
    if n in (0, overlap.images):
        return joined
    images = f"{n} images" if joined.whole is None else f"{n} of {joined.whole} images"
    title = f"{joined.dataset}, on the {images} that all runs share"
    return replace(joined, title=title, partial=True, shared=frozenset(overlap.files))


def _with_notes(sets: Sequence[ImageSet], common: bool) -> list[ImageSet]:
    """Note at each of several sets of one dataset that there are others."""
    if len(sets) == 1:
        return list(sets)
    note = f"these runs of {sets[0].dataset} are about {len(sets)} different sets of images, compared separately"
    if common:
        note += ": they share no image whose files have stayed the same since the earliest run"
    elif any(own.partial for own in sets):
        note += "; to compare on the images that all runs share: isrbench report --common, or compare(common=True)"
    return [replace(own, notes=(note,)) for own in sets]


def _with_unique_titles(sets: Sequence[ImageSet]) -> list[ImageSet]:
    """Add the head of the content hash to a title that several sets have."""
    count = Counter(own.title for own in sets)
    return [
        replace(own, title=f"{own.title} (images {own.content_hash[:6] or 'unknown'})") if count[own.title] > 1 else own
        for own in sets
    ]


def _files(rows: pd.DataFrame) -> _Files:
    # pandas holds a missing path as NaN.
    return {i: (lr, hr if isinstance(hr, str) else None) for i, lr, hr in rows[["image", "lr_path", "hr_path"]].values}


def _unchanged(files: Sequence[str | None], since: str) -> bool:
    """Return whether every file exists and is as old as ``since``; a change of its inode counts as one of the file."""
    try:
        limit = datetime.fromisoformat(since).timestamp()
        return all(max((found := Path(file).stat()).st_mtime, found.st_ctime) <= limit for file in files if file)
    except (OSError, ValueError):
        return False
