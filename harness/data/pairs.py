"""From a card to checked pairs: join LR and HR by file stem, refuse anything odd before compute."""

from __future__ import annotations

import csv
import hashlib
import logging
import shlex
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from isrbench.harness.api.dataset import Card, Pair
from isrbench.harness.data.catalogue import catalogue, id_of_folder, refuse_odd_name
from isrbench.harness.data.find import case_folders, find_layout, find_root
from isrbench.harness.errors import UserError
from isrbench.harness.files import IMAGE_SUFFIXES, list_images
from isrbench.harness.imaging.images import hr_hash, lr_hash, read_rgb

log = logging.getLogger(__name__)

_IGNORED = frozenset({"thumbs.db", "desktop.ini"})
_MANY = 500
"""From this many images on, decoding them all takes long enough to say so."""


class _Lr(NamedTuple):
    """An LR file."""

    path: Path
    stem: str
    """That of its HR file."""
    case: str | None


class _Files(NamedTuple):
    """The files of one image, not yet opened."""

    id: str
    lr: Path
    hr: Path | None
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
    files = _join(card, root)
    wanted = set(choose([file.id for file in files], limit=limit, sample=sample, seed=seed))
    chosen = [file for file in files if file.id in wanted]
    if len(chosen) > _MANY:
        log.info("decoding and checking %d images of %s", len(chosen), card.id)
    with ThreadPoolExecutor(workers) as pool:
        pairs = list(pool.map(lambda file: _checked(card, file), chosen))
    whole = len(pairs) == len(files)
    if whole and card.content_hash is not None and content_hash(pairs) != card.content_hash:
        raise UserError(
            f"these {len(pairs)} images have the names and sizes of {card.id}, but not its pixels "
            f"(content hash {content_hash(pairs)[:16]}..., the card says {card.content_hash[:16]}...): "
            "numbers would not be comparable",
            _or_as_another_set("use the published files", "content_hash", card, root),
        )
    return pairs


def count_images(card: Card, data_root: Path | None = None) -> int:
    """Return how many images the whole set has; none is opened.

    Raises:
        UserError: If the set is not found, or files are missing, extra, doubled or not images.
    """
    return len(_join(card, find_root(card, data_root)))


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


def _join(card: Card, root: Path) -> list[_Files]:
    """Return the files of the whole set, sorted by id."""
    if not root.is_dir():
        raise UserError(f"{root}, the `root` in the card of {card.id}, is not a folder", "correct `root` in the card")
    refuse_odd_name(root)
    layout = find_layout(card, root)
    if layout is None:
        wanted = ", ".join("/".join(pair) for pair in card.layouts)
        raise UserError(f"{root} has no sub-folders {wanted}", "rename them, or state `layouts` in the card")
    lr = _lr_by_id(card, root / layout[0])
    has_hr = card.has_hr is not False and (root / layout[1]).is_dir()
    hr = _by_stem(root / layout[1]) if has_hr else {}
    stems = {file.stem for file in lr.values()}
    if has_hr and stems != hr.keys():
        raise UserError(
            _unpaired(root, layout, sorted(stems - hr.keys()), sorted(hr.keys() - stems)),
            "pairs are joined by file stem: add the missing files or remove the extra ones",
        )
    if not lr:
        raise UserError(f"{root / layout[0]} holds no images", "check the path")
    if card.count is not None and len(lr) != card.count:
        raise UserError(
            f"{card.id} has {card.count} images, but {root / layout[0]} holds {len(lr)}",
            _or_as_another_set("complete the set", "count", card, root),
        )
    levels = _levels(card, root, sorted(lr))
    return [
        _Files(id, lr[id].path, hr.get(lr[id].stem), levels.get(id, lr[id].case)) for id in sorted(lr)
    ]  # fmt: skip


def _lr_by_id(card: Card, folder: Path) -> dict[str, _Lr]:
    """Return the LR files by id, which is the stem that HR has, behind the case where there are cases."""
    nested = card.cases and not list_images(folder)
    groups = {case.name: _by_stem(case) for case in case_folders(folder)} if nested else {None: _by_stem(folder)}
    found: dict[str, _Lr] = {}
    for case, files in groups.items():
        for stem, path in files.items():
            own = stem.removesuffix(card.lr_suffix)
            if own == stem and card.lr_suffix:
                raise UserError(
                    f"{path}: LR images of {card.id} have {card.lr_suffix} at the end of their names",
                    "use the published files, or correct `lr_suffix` in the card",
                )
            id = own if case is None else f"{case}-{own}"
            if id in found:
                raise UserError(f"{found[id].path} and {path} would both be called {id}", "rename one of the folders")
            found[id] = _Lr(path, own, case)
    return found


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _IGNORED:
            continue
        if path.is_dir():
            continue
        refuse_odd_name(path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{path} is not an image file", "move it out of the folder")
        if path.stem in found:
            raise UserError(f"{found[path.stem]} and {path.name} have the same stem", "keep one of the two")
        found[path.stem] = path
    return found


def _unpaired(root: Path, layout: tuple[str, str], no_hr: Sequence[str], no_lr: Sequence[str]) -> str:
    parts = [
        f"{len(stems)} in {have} have no partner in {lack} ({', '.join(stems[:3])}{', ...' if len(stems) > 3 else ''})"
        for stems, have, lack in ((no_hr, layout[0], layout[1]), (no_lr, layout[1], layout[0]))
        if stems
    ]
    return f"{root}: " + "; ".join(parts)


def _or_as_another_set(first: str, key: str, card: Card, root: Path) -> str:
    """Say how to fix a copy of a set that is not the set."""
    if card.id not in catalogue():
        return f"{first}, or correct `{key}` in its card"
    folder = f"--dataset {shlex.quote(str(root))}"
    return f"{first}, or score it as a separate set, which is then called {id_of_folder(root)}: {folder}"


def _checked(card: Card, files: _Files) -> Pair:
    """Decode one image's files and hold them to the card."""
    lr = read_rgb(files.lr)
    size = (lr.shape[0], lr.shape[1])
    _check_size(files.lr, size, card.lr_size, f"{card.id} has LR images")
    if files.hr is None:
        return Pair(files.id, files.lr, None, lr_hash(lr), None, size, files.level)
    hr = read_rgb(files.hr)
    _check_size(files.hr, hr.shape[:2], card.hr_size, f"{card.id} has HR images")
    expected = (size[0] * card.scale, size[1] * card.scale)
    if hr.shape[:2] != expected:
        raise UserError(
            f"{files.hr} is {_hw(hr.shape[:2])}, but its LR is {_hw(size)}: at scale {card.scale} it must be "
            f"{_hw(expected)}",
            "crop or replace one of the two files",
        )
    return Pair(files.id, files.lr, files.hr, lr_hash(lr), hr_hash(hr), size, files.level)


def _check_size(path: Path, size: tuple[int, ...], expected: tuple[int, int] | None, whose: str) -> None:
    if expected is not None and size != tuple(expected):
        raise UserError(f"{path} is {_hw(size)}; {whose} of {_hw(expected)}", "replace it by the set's own file")


def _levels(card: Card, root: Path, ids: Sequence[str]) -> dict[str, str]:
    """Return the true severity levels by id; empty where the card names none."""
    if card.levels is None:
        return {}
    path = root / card.levels
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"{path}, the `levels` of {card.id}, cannot be read: {why}", "write it, or take `levels` out of the card"
        ) from error
    if not {"image", "level"} <= set(columns):
        found = ", ".join(columns) or "none"
        raise UserError(f"{path} has the columns {found}; it needs image and level", "name its columns image,level")
    level = {row["image"]: row["level"] for row in rows}
    unknown = next((id for id in ids if not level.get(id)), None)
    if unknown is not None:
        raise UserError(f"{path} has no level for {unknown}", "add a line image,level for every image")
    return level


def _hw(size: Sequence[int]) -> str:
    return f"{size[1]}x{size[0]}"
