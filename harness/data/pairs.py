"""From a card to checked pairs: find the folder, join LR and HR by file stem, refuse anything odd before compute."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import shlex
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.dataset import LAYOUTS, Card, Pair
from isrbench.harness.data.catalogue import catalogue
from isrbench.harness.errors import UserError
from isrbench.harness.files import IMAGE_SUFFIXES, list_images
from isrbench.harness.imaging.images import read_rgb, read_size

if TYPE_CHECKING:
    import datasets

log = logging.getLogger(__name__)

_IGNORED = frozenset({"thumbs.db", "desktop.ini"})
_MANY = 500
"""From this many images on, decoding them all takes long enough to say so."""


def data_roots(data_root: Path | None) -> list[Path]:
    """Where sets are looked for: ``--data-root`` alone if given, else ``$ISRBENCH_DATA`` and ``./data``."""
    if data_root is not None:
        return [data_root]
    environment = os.environ.get("ISRBENCH_DATA")
    return [*([Path(environment)] if environment else []), Path("data")]


def find_root(card: Card, data_root: Path | None = None) -> Path:
    """The set's own folder.

    A card with a root of its own (the sample set, a folder, a user's card with ``root``) lies there. Any other is
    looked for in every data root: the root itself, and the set's known folder names one level below it (and inside
    an unpacked archive).

    Raises:
        UserError: If nothing there looks like the set (names the places and how to get it), or a data root is given
            for a set that was named by its path.
    """
    if card.root is not None:
        # Taking either of two places that the user names would quietly score the wrong one.
        if data_root is not None and card.id not in catalogue():
            raise UserError(
                f"--dataset says that {card.id} lies in {card.root}, --data-root says {data_root}",
                "leave --data-root out, or give the folder that you mean as --dataset",
            )
        return card.root
    names = [card.id, *card.folders] + ([card.archive.folder] if card.archive else [])
    places = [place for root in data_roots(data_root) for place in (*(root / n for n in names), root)]
    for place in places:
        if place.is_dir() and _layout(card, place) is not None:
            return place.resolve()
    layouts = ", ".join("/".join(pair) for pair in card.layouts)
    looked = ", ".join(str(root) for root in data_roots(data_root))
    fetch = f"isrbench fetch datasets --dataset {card.id}" + (" --accept-license" if card.non_commercial else "")
    can_fetch = card.archive is not None or card.table is not None
    raise UserError(
        f"the dataset {card.id} was not found below {looked} (looked for {', '.join(names)}, or the folder itself, "
        f"with sub-folders {layouts})",
        ("give its folder with --data-root DIR" + (f", or download it: {fetch}" if can_fetch else "")),
    )


def open_dataset(card: Card, root: Path) -> datasets.Dataset:
    """The set as a Hugging Face dataset: columns image, lr, hr, level; images undecoded (path only).

    Raises:
        UserError: If files are missing, extra, doubled or not images.
    """
    import datasets as hf

    rows = _join(card, root)
    features = hf.Features(
        image=hf.Value("string"), lr=hf.Image(decode=False), hr=hf.Image(decode=False), level=hf.Value("string")
    )
    columns = {
        "image": [r[0] for r in rows],
        "lr": [{"path": str(r[1]), "bytes": None} for r in rows],
        "hr": [None if r[2] is None else {"path": str(r[2]), "bytes": None} for r in rows],
        "level": list(_levels(card, root, [r[0] for r in rows])),
    }
    return hf.Dataset.from_dict(columns, features=features)


def check_pairs(card: Card, dataset: datasets.Dataset, workers: int = 4) -> list[Pair]:
    """Decode and check every image of the set; the pairs come sorted by id.

    Raises:
        UserError: For the first unreadable, wrong-sized or miscounted image, or a set whose content is not the card's.
    """
    if len(dataset) > _MANY:
        log.info("decoding and checking the %d images of %s", len(dataset), card.id)
    with ThreadPoolExecutor(workers) as pool:
        pairs = list(pool.map(lambda row: _check(card, row), dataset))
    pairs.sort(key=lambda pair: pair.id)
    if card.content_hash is not None and content_hash(pairs) != card.content_hash:
        raise UserError(
            f"these {len(pairs)} images have the names and sizes of {card.id}, but not its pixels "
            f"(content hash {content_hash(pairs)[:16]}..., the card says {card.content_hash[:16]}...): "
            "numbers would not be comparable",
            _as_a_set_of_its_own("use the published files", "content_hash", card, pairs[0].lr.parent.parent),
        )
    return pairs


def load_pairs(card: Card, data_root: Path | None = None) -> list[Pair]:
    """Find, open and check a set: everything between a card and its pairs."""
    return check_pairs(card, open_dataset(card, find_root(card, data_root)))


def content_hash(pairs: Iterable[Pair]) -> str:
    """sha256 over (id, LR pixels, HR pixels) in order of id; the same for any lossless re-encoding of a set."""
    digest = hashlib.sha256()
    for pair in sorted(pairs, key=lambda p: p.id):
        digest.update(f"{pair.id}\0{pair.lr_hash}\0{pair.hr_hash}\n".encode())
    return digest.hexdigest()


def card_of_folder(folder: Path) -> Card:
    """A card for a plain folder: LR/HR sub-folders of a known layout, or LR images alone (no HR).

    The scale is read off the first pair; without HR it is 4.

    Raises:
        UserError: If the folder holds neither, or the first pair's sizes have no whole ratio.
    """
    card = Card(
        id=_id_of(folder), title=folder.name, scale=4, license="the user's own", source=str(folder), root=folder
    )
    layout = _layout(card, folder)
    if layout is None:
        if not list_images(folder):
            layouts = ", ".join("/".join(pair) for pair in LAYOUTS)
            raise UserError(f"{folder} holds neither images nor sub-folders {layouts}", "check the path")
        return card.model_copy(update={"has_hr": False, "layouts": ((".", "."),)})
    if not (folder / layout[1]).is_dir():
        return card.model_copy(update={"has_hr": False, "layouts": (layout,)})
    first = _join(card.model_copy(update={"layouts": (layout,)}), folder)[0]
    lr, hr = read_size(first[1]), read_size(first[2]) if first[2] else (0, 0)
    scale = hr[0] // lr[0]
    if scale < 1 or hr != (lr[0] * scale, lr[1] * scale):
        raise UserError(
            f"{first[2]} is {_hw(hr)} and its LR {_hw(lr)}: HR must be a whole multiple of LR",
            "crop HR to a multiple, or state scale and sizes in a card (docs/datasets.md)",
        )
    return card.model_copy(update={"scale": scale, "layouts": (layout,), "has_hr": True})


def _layout(card: Card, root: Path) -> tuple[str, str] | None:
    """The layout that ``root`` has; one with HR comes before one without."""
    there = [layout for layout in card.layouts if (root / layout[0]).is_dir()]
    paired = [layout for layout in there if card.has_hr is not False and (root / layout[1]).is_dir()]
    return next(iter(paired if card.has_hr else [*paired, *there]), None)


def _join(card: Card, root: Path) -> list[tuple[str, Path, Path | None]]:
    if not root.is_dir():
        raise UserError(f"{root}, where the card of {card.id} says that it lies, is no folder", "fix its `root`")
    layout = _layout(card, root)
    if layout is None:
        wanted = ", ".join("/".join(pair) for pair in card.layouts)
        raise UserError(f"{root} has no sub-folders {wanted}", "name them so, or state `layouts` in the card")
    lr = _by_stem(root / layout[0])
    has_hr = card.has_hr is not False and (root / layout[1]).is_dir()
    hr = _by_stem(root / layout[1]) if has_hr else {}
    if has_hr and lr.keys() != hr.keys():
        raise UserError(
            _unpaired(root, layout, sorted(lr.keys() - hr.keys()), sorted(hr.keys() - lr.keys())),
            "pairs are joined by file stem: add the missing files or remove the extra ones",
        )
    if not lr:
        raise UserError(f"{root / layout[0]} holds no images", "check the path")
    if card.count is not None and len(lr) != card.count:
        raise UserError(
            f"{card.id} has {card.count} images, but {root / layout[0]} holds {len(lr)}",
            _as_a_set_of_its_own("complete the set", "count", card, root),
        )
    return [(stem, lr[stem], hr.get(stem)) for stem in sorted(lr)]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _IGNORED:
            continue
        if path.is_dir():
            continue
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


def _as_a_set_of_its_own(first: str, key: str, card: Card, root: Path) -> str:
    """The fix for a copy of a set that is not the set."""
    if card.id not in catalogue():
        return f"{first}, or fix `{key}` in its card"
    folder = f"--dataset {shlex.quote(str(root))}"
    return f"{first}, or score it as a set of its own, which is then called {_id_of(root)}: {folder}"


def _check(card: Card, row: dict) -> Pair:
    lr, hr = Path(row["lr"]["path"]), Path(row["hr"]["path"]) if row["hr"] else None
    pixels = read_rgb(lr)
    size = pixels.shape[:2]
    if card.lr_size is not None and size != tuple(card.lr_size):
        raise UserError(
            f"{lr} is {_hw(size)}; {card.id} has LR images of {_hw(card.lr_size)}", "restore the set's own file"
        )
    hr_hash = None
    if hr is not None:
        target = read_rgb(hr)
        if card.hr_size is not None and target.shape[:2] != tuple(card.hr_size):
            raise UserError(
                f"{hr} is {_hw(target.shape[:2])}; {card.id} has HR images of {_hw(card.hr_size)}",
                "restore the set's own file",
            )
        expected = (size[0] * card.scale, size[1] * card.scale)
        if target.shape[:2] != expected:
            raise UserError(
                f"{hr} is {_hw(target.shape[:2])}, but its LR is {_hw(size)}: at scale {card.scale} it must be "
                f"{_hw(expected)}",
                "crop or replace one of the two files",
            )
        hr_hash = hashlib.sha256(target.tobytes()).hexdigest()
    digest = hashlib.sha256(f"{size[0]}x{size[1]}".encode() + pixels.tobytes()).hexdigest()
    return Pair(row["image"], lr, hr, digest, hr_hash, (size[0], size[1]), row["level"])


def _levels(card: Card, root: Path, ids: Sequence[str]) -> Iterable[str | None]:
    if card.levels is None:
        return [None] * len(ids)
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
    unknown = [i for i in ids if not level.get(i)]
    if unknown:
        raise UserError(f"{path} has no level for {unknown[0]}", "add a line image,level for every image")
    return [level[i] for i in ids]


def _id_of(folder: Path) -> str:
    """The folder's name as an id; never that of a set that ships, so that the two are never put into one table."""
    kept = "".join(c if (c.isascii() and c.isalnum()) or c in "._-" else "-" for c in folder.name).lstrip("._-")
    taken = {name.lower() for name in catalogue()}
    return f"{kept}-folder" if kept.lower() in taken else kept or "folder"


def _hw(size: Sequence[int]) -> str:
    return f"{size[1]}x{size[0]}"
