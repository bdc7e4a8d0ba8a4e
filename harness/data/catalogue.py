"""The cards that ship with isrbench or with another package, and the card that a name stands for."""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.registry import cards, unknown_name
from isrbench.harness.data.find import catalogue_folder, find_layout, find_root
from isrbench.harness.data.join import join_files
from isrbench.harness.data.names import Names, files_by_stem, lr_and_hr_folders, names_in_one_folder, refuse_odd_name
from isrbench.harness.documents import read_toml
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import is_there, some
from isrbench.harness.imaging.listing import list_images

if TYPE_CHECKING:
    from isrbench.harness.api.dataset import Card

log = logging.getLogger(__name__)


@cache
def shipped() -> dict[str, Path]:
    """Return the card files that isrbench ships, by dataset id (the file's stem)."""
    return {path.stem: path for path in sorted(catalogue_folder().glob("*.toml"))}


def catalogue() -> dict[str, Path]:
    """Return all card files that have an id without a path: those that isrbench ships, and those of other packages."""
    return {**shipped(), **carried()[0]}


@cache
def carried() -> tuple[dict[str, Path], dict[str, UserError]]:
    """Return (card files, why others do not work) of other packages, by the name of their entry point.

    One that is broken disables only itself.
    """
    found, broken = cards().load_all()
    working = {}
    for name, path in found.items():
        try:
            _check_carried(name, path)
            working[name] = path
        except UserError as error:
            broken[name] = error
    return working, broken


def _check_carried(name: str, path: Path) -> None:
    """Refuse a card that takes the place of another or cannot be read.

    Raises:
        UserError: If it does.
    """
    fix = "report it to the package that carries the card"
    taken = next((id for id in shipped() if id.lower() == name.lower()), None)
    if taken is not None:
        raise UserError(f"dataset '{name}': {path} takes the id of a set that ships, {taken}", fix)
    try:
        own = load_card(path).id
    except OSError as error:
        raise UserError(f"dataset '{name}': {path} cannot be read: {error.strerror or error}", fix) from error
    if own != name:
        raise UserError(
            f"dataset '{name}': {path} calls itself '{own}'", "give the entry point and the card's `id` one name"
        )


def load_card(path: Path) -> Card:
    """Read and check one card; a relative ``root``, or folder of a table, is resolved against the card's own folder.

    Raises:
        UserError: If the file cannot be read, is not TOML or does not fit the schema; names the key.
    """
    from pydantic import ValidationError

    from isrbench.harness.api.dataset import Card

    fix = "correct the card; see docs/datasets.md"
    table = read_toml(path, fix)
    with foreign(f"{path} is not a valid dataset card", fix):
        try:
            card = Card.model_validate(table)
        except ValidationError as error:
            said = (": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors())
            raise ValueError("; ".join(said)) from error
        return _resolved(card, path.parent)


def _resolved(card: Card, folder: Path) -> Card:
    """Return a card whose own folder stands before what it names relative to it.

    Raises:
        ValueError: If a name is none that a path can have.
    """
    if card.table is not None and is_there(folder / card.table.path) and (folder / card.table.path).is_dir():
        hub_table = card.table.model_copy(update={"path": str((folder / card.table.path).resolve())})
        card = card.model_copy(update={"table": hub_table})
    return card if card.root is None else card.model_copy(update={"root": (folder / card.root).resolve()})


def find_card(
    name: str, *, scale: int | None = None, hr_crop: str | None = None, data_root: Path | None = None
) -> Card:
    """Return the card for a dataset id, a ``.toml`` file, or a plain folder of images.

    Args:
        name: Which.
        scale: How many times larger restored images are to be; None = as the card or the first pair says. At another
            scale than its own a set without HR images is one of its own, ``ID-x2``.
        hr_crop: As ``Card.hr_crop``; None = as the card says.
        data_root: Where the set is looked for, for a scale other than its own.

    Raises:
        UserError: If ``name`` is none of these, a card of the user's that takes the id of a set that ships, or a set
            that the scale does not fit.
    """
    card = _named_card(name, scale, hr_crop)
    if hr_crop is not None:
        card = card.model_copy(update={"hr_crop": hr_crop})
    return card if scale in (None, card.scale) else _at_scale(card, scale, data_root)


def _named_card(name: str, scale: int | None, hr_crop: str | None) -> Card:
    if name in catalogue():
        return load_card(catalogue()[name])
    if name in carried()[1]:
        raise carried()[1][name]
    path = Path(name)
    there = is_there(path)
    if there and path.suffix == ".toml" and not path.is_dir():
        card = load_card(path)
        # Rows of two sets under one id would end up in one mean.
        if card.id in catalogue() and card != load_card(catalogue()[card.id]):
            raise UserError(
                f"{path} takes the id of a set that ships, {card.id}, but describes another set",
                f'give it another id, such as id = "{card.id}-mine"',
            )
        return card
    if there and path.is_dir():
        return card_of_folder(path.resolve(), scale=scale, hr_crop=hr_crop)
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UserError(f"--dataset {name}: this card or folder does not exist", "check the path")
    raise UserError(
        unknown_name("dataset", name, list(catalogue())), "isrbench list datasets, or give a folder or a card"
    )


def card_of_folder(folder: Path, *, scale: int | None = None, hr_crop: str | None = None) -> Card:
    """Return a card for a plain folder: LR/HR sub-folders of a known layout, pairs side by side, or LR images alone.

    The scale is that of the first pair; without HR it is 4.

    Args:
        folder: Where it lies.
        scale: What the scale of a set with HR images has to be; None = anything.
        hr_crop: As ``Card.hr_crop``.

    Raises:
        UserError: If the folder holds none of these, or the first pair's sizes have no whole ratio, or another.
    """
    from isrbench.harness.api.dataset import Card
    from isrbench.harness.data.scale import scale_of

    refuse_odd_name(folder)
    card = Card(
        id=id_of_folder(folder), title=folder.name, scale=4, license="the user's own", source=str(folder), root=folder
    )
    layout = _layout_of(card, folder)
    if layout is None:
        layout, names = (".", "."), _names_in(folder)
        if names is None:
            return card.model_copy(update={"has_hr": False, "layouts": (layout,)})
        card = card.model_copy(update={"lr_name": names.lr, "hr_name": names.hr})
    elif not (folder / layout[1]).is_dir():
        return card.model_copy(update={"has_hr": False, "layouts": (layout,)})
    card = card.model_copy(update={"layouts": (layout,), "has_hr": True})
    first = next(iter(join_files(card, folder)))
    assert first.hr is not None  # as has_hr is true
    return card.model_copy(update={"scale": scale_of(first.lr, first.hr, scale=scale, hr_crop=hr_crop)})


def _layout_of(card: Card, folder: Path) -> tuple[str, str] | None:
    """Return which sub-folders hold LR and HR images: those of a known layout, else those of which a word says so.

    Raises:
        UserError: If LR images lie beside what may be their HR images.
    """
    known = find_layout(card, folder)
    if known is not None and (folder / known[1]).is_dir():
        return known
    held = _folders_with_images(folder)
    lr, hr = lr_and_hr_folders(held)
    if len(lr) == len(hr) == 1 and not list_images(folder):
        return _at_its_images(folder, lr[0]), _at_its_images(folder, hr[0])
    if known is not None and hr:
        raise UserError(
            f"{folder} holds LR images in {known[0]}, and nothing says whether those in {some(hr)} are their HR",
            f'say so in a card: layouts = [["{known[0]}", "{hr[0]}"]] (docs/datasets.md); '
            f"or score the LR images alone: --dataset {shlex.quote(str(folder / known[0]))}",
        )
    if known is not None:
        _tell_others(folder, [name for name in held if name != known[0].partition("/")[0]])
    return known


def _folders_with_images(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and list_images(p, recursive=True))


def _at_its_images(folder: Path, name: str) -> str:
    """Return the folder ``name``, or its only one where it holds none but that of a scale: ``LR_bicubic/X4``."""
    inside = _folders_with_images(folder / name)
    only = not list_images(folder / name) and len(inside) == 1 and re.fullmatch(r"x\d+|\d+x", inside[0], re.IGNORECASE)
    return f"{name}/{inside[0]}" if only else name


def _tell_others(folder: Path, others: Sequence[str]) -> None:
    if others:
        log.warning("%s: images in its sub-folders are not part of the set: %s", folder, some(others))


def _names_in(folder: Path) -> Names | None:
    """Return how a folder without LR and HR sub-folders names its pairs; None where it holds LR images alone.

    Raises:
        UserError: If it holds no images, or nothing says which of them are LR.
    """
    from isrbench.harness.api.dataset import LAYOUTS

    files = files_by_stem(folder, below=False) if list_images(folder) else {}
    inside = _folders_with_images(folder)
    if not files:
        layouts = ", ".join("/".join(pair) for pair in LAYOUTS)
        held = f"; its folders with images are {some(inside)}" if inside else ""
        lr, hr = (
            found[0] if found else other
            for found, other in zip(lr_and_hr_folders(inside), ("low", "high"), strict=True)
        )
        raise UserError(
            f"{folder} holds neither images nor sub-folders {layouts}{held}",
            f'give one of them, or a card with layouts = [["{lr}", "{hr}"]], LR first (docs/datasets.md)'
            if inside
            else "check the path",
        )
    _tell_others(folder, inside)
    return names_in_one_folder(files)


def id_of_folder(folder: Path) -> str:
    """Return the folder's name as an id; never that of a set that ships, so that the two never share a table.

    Letters that an id cannot hold are told apart by a hash behind the rest.
    """
    name = unicodedata.normalize("NFC", folder.name)  # macOS spells an accent as a letter of its own
    kept = "".join(c if (c.isascii() and c.isalnum()) or c in "._-" else "-" for c in name).lstrip("._-")
    if not name.isascii():
        return f"{kept.strip('-') or 'folder'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    taken = {name.lower() for name in catalogue()}
    return f"{kept}-folder" if kept.lower() in taken else kept or "folder"


def _at_scale(card: Card, scale: int, data_root: Path | None) -> Card:
    """Return a set without HR images at another scale: under an id of its own, so that no table mixes the two."""
    if card.has_hr:
        raise UserError(
            f"{card.id} is a set of scale {card.scale}: its HR images fit no other", f"leave --scale {scale} out"
        )
    find_root(card, data_root)  # a set that is not there is asked for by its own name
    changes = {"id": f"{card.id}-x{scale}", "title": f"{card.title} x{scale}", "folders": (card.id, *card.folders)}
    return card.model_copy(update={**changes, "scale": scale, "hr_size": None})
