"""From a card to checked pairs: join LR and HR by file stem, refuse anything odd before compute."""

from __future__ import annotations

import hashlib
import logging
import shlex
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from isrbench.harness.api.dataset import Card, Pair
from isrbench.harness.data.catalogue import catalogue, id_of_folder
from isrbench.harness.data.find import find_root
from isrbench.harness.data.join import Files, join_files
from isrbench.harness.data.scale import cut_size, hw
from isrbench.harness.documents import read_csv
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import cut_to, hr_hash, lr_hash, read_noted, tell_notes

log = logging.getLogger(__name__)

_MANY = 500
"""From this many images on, decoding them all takes long enough to say so."""


class _Listed(NamedTuple):
    """One image of a set, not yet opened."""

    files: Files
    level: str | None


def load_pairs(
    card: Card,
    data_root: Path | None = None,
    *,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    workers: int = 4,
) -> list[Pair]:
    """Find a set, check the names of all its files, then decode and check the images asked for.

    Args:
        card: Which set.
        data_root: Where to look for it (:func:`isrbench.harness.data.find.find_root`).
        limit: Take only this many images, evenly over the set (:func:`choose`).
        sample: Take only this many images, drawn by ``seed``.
        seed: Decides what ``sample`` draws.
        workers: Threads that decode.

    Returns:
        Sorted by id.

    Raises:
        UserError: For files that are missing, extra, doubled or not images; for the first image that is unreadable or
            of a wrong size; for a whole set whose content is not what the card says; for a bad ``limit`` or ``sample``.
    """
    root = find_root(card, data_root)
    listed = _join(card, root)
    wanted = set(choose([own.files.id for own in listed], limit=limit, sample=sample, seed=seed))
    chosen = [own for own in listed if own.files.id in wanted]
    if len(chosen) > _MANY:
        log.info("decoding and checking %d images of %s", len(chosen), card.id)
    with ThreadPoolExecutor(workers) as pool:
        checked = list(pool.map(lambda own: _checked(card, *own), chosen))
    pairs = [pair for pair, _ in checked]
    tell_notes(note for _, notes in checked for note in notes.items())
    whole = len(pairs) == len(listed)
    if whole and card.content_hash is not None and content_hash(pairs) != card.content_hash:
        raise UserError(
            f"these {len(pairs)} images have the names and sizes of {card.id}, but not its pixels "
            f"(content hash {content_hash(pairs)[:16]}..., the card says {card.content_hash[:16]}...): "
            "numbers would not be comparable",
            _or_as_another_set("use the published files", "content_hash", card, root),
        )
    return pairs


def image_ids(card: Card, data_root: Path | None = None) -> tuple[str, ...]:
    """Return the ids of the whole set, sorted; no image is opened.

    Raises:
        UserError: If the set is not found, or files are missing, extra, doubled or not images.
    """
    return tuple(own.files.id for own in _join(card, find_root(card, data_root)))


def choose(ids: Sequence[str], *, limit: int | None = None, sample: int | None = None, seed: int = 0) -> list[str]:
    """Choose some of a set's images.

    Args:
        ids: The whole set, in any order.
        limit: Take this many evenly over the sorted ids, the first one included.
        sample: Draw this many by ``seed``; a larger draw holds every smaller one of the same seed.
        seed: Decides what ``sample`` draws.

    Returns:
        Sorted; all ids where neither is given, or the set has no more.

    Raises:
        UserError: If both are given, or one is below 1.
    """
    if limit is not None and sample is not None:
        raise UserError("--limit and --sample are both given", "give one of them")
    for name, number in (("--limit", limit), ("--sample", sample)):
        if number is not None and number < 1:
            raise UserError(f"{name} is {number}, but has to be 1 or more", "leave it out for the whole set")
    ordered = sorted(ids)
    if limit is not None:
        count = min(limit, len(ordered))
        return [ordered[i * len(ordered) // count] for i in range(count)]
    if sample is not None:
        return sorted(sorted(ordered, key=lambda id: hashlib.sha256(f"sample/{seed}/{id}".encode()).digest())[:sample])
    return ordered


def content_hash(pairs: Iterable[Pair]) -> str:
    """Return the sha256 over (id, LR pixels, HR pixels) in order of id; re-encoding a set losslessly keeps it."""
    digest = hashlib.sha256()
    for pair in sorted(pairs, key=lambda p: p.id):
        digest.update(f"{pair.id}\0{pair.lr_hash}\0{pair.hr_hash}\n".encode())
    return digest.hexdigest()


def _join(card: Card, root: Path) -> list[_Listed]:
    """Return the whole set, sorted by id."""
    if not root.is_dir():
        raise UserError(f"{root}, the `root` in the card of {card.id}, is not a folder", "correct `root` in the card")
    files = join_files(card, root)
    if card.count is not None and len(files) != card.count:
        raise UserError(
            f"{card.id} has {card.count} images, but {files[0].lr.parent} holds {len(files)}",
            _or_as_another_set("complete the set", "count", card, root),
        )
    levels = _levels(card, root, [own.id for own in files])
    return [_Listed(own, levels.get(own.id, own.case)) for own in files]


def _or_as_another_set(first: str, key: str, card: Card, root: Path) -> str:
    """Say how to fix a copy of a set that is not the set."""
    if card.id not in catalogue():
        return f"{first}, or correct `{key}` in its card"
    folder = f"--dataset {shlex.quote(str(root))}"
    return f"{first}, or score it as a separate set, which is then called {id_of_folder(root)}: {folder}"


def _checked(card: Card, files: Files, level: str | None) -> tuple[Pair, dict[Path, tuple[str, ...]]]:
    """Decode one image's files and hold them to the card; return the pair, and notes on its files."""
    lr, on_lr = read_noted(files.lr)
    size = (lr.shape[0], lr.shape[1])
    _check_size(files.lr, size, card.lr_size, f"{card.id} has LR images")
    if files.hr is None:
        return Pair(files.id, files.lr, None, lr_hash(lr), None, size, level), {files.lr: on_lr}
    hr, on_hr = read_noted(files.hr)
    _check_size(files.hr, hr.shape[:2], card.hr_size, f"{card.id} has HR images")
    cut = cut_size(card, size, (hr.shape[0], hr.shape[1]), files.lr, files.hr)
    hashed = hr_hash(hr if cut is None else cut_to(hr, cut))
    pair = Pair(files.id, files.lr, files.hr, lr_hash(lr), hashed, size, level, cut)
    return pair, {files.lr: on_lr, files.hr: on_hr}


def _check_size(path: Path, size: tuple[int, ...], expected: tuple[int, int] | None, whose: str) -> None:
    if expected is not None and size != tuple(expected):
        raise UserError(f"{path} is {hw(size)}; {whose} of {hw(expected)}", "replace it by the set's own file")


def _levels(card: Card, root: Path, ids: Sequence[str]) -> dict[str, str]:
    """Return the true severity levels by id; empty where the card names none."""
    if card.levels is None:
        return {}
    path = root / card.levels
    fix = "write it, or take `levels` out of the card"
    columns, rows = read_csv(path, fix, f"the levels file of {card.id}")
    if not {"image", "level"} <= set(columns):
        found = ", ".join(columns) or "none"
        raise UserError(f"{path} has the columns {found}; it needs image and level", "name its columns image,level")
    level = {row["image"]: row["level"] for _, row in rows}
    unknown = next((id for id in ids if not level.get(id)), None)
    if unknown is not None:
        raise UserError(f"{path} has no level for {unknown}", "add a line image,level for every image")
    return level
