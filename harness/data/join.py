"""Which LR file and which HR file are one image's, by name; no file is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from isrbench.harness.data.find import find_layout
from isrbench.harness.data.names import (
    Names,
    files_by_stem,
    image_id,
    names_in_one_folder,
    names_of_two_folders,
    refuse_odd_name,
)
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.listing import list_images

if TYPE_CHECKING:
    from isrbench.harness.api.dataset import Card


class Files(NamedTuple):
    """The files of one image, not yet opened."""

    id: str
    lr: Path
    hr: Path | None
    case: str | None = None
    """The sub-folder that says what kind of image it is, where the card knows cases."""


def join_files(card: Card, root: Path) -> list[Files]:
    """Return the files of a whole set, sorted by id.

    Args:
        card: Which set; its ``layouts``, ``has_hr``, ``lr_name``, ``hr_name`` and ``cases`` count.
        root: The set's folder.

    Raises:
        UserError: If ``root`` has none of the layouts, a file is not an image or has no partner, or names do not say
            which file is which.
    """
    refuse_odd_name(root)
    layout = find_layout(card, root)
    if layout is None:
        wanted = ", ".join("/".join(pair) for pair in card.layouts)
        raise UserError(f"{root} has no sub-folders {wanted}", "rename them, or state `layouts` in the card")
    # "." is the set's own folder, in which results and other things may lie as well.
    lr = files_by_stem(root / layout[0], below=layout[0] != "." or (card.cases and not list_images(root)))
    if not lr:
        raise UserError(f"{root / layout[0]} holds no images", "check the path")
    given = None if card.lr_name is None and card.hr_name is None else Names(card.lr_name or "{}", card.hr_name or "{}")
    if layout[0] == layout[1] and card.has_hr is not False:
        names = given or names_in_one_folder(lr)
        if names is not None:
            return _paired(root, layout, *_told_apart(lr, names, root / layout[0]))
        if card.has_hr:
            fix = 'state lr_name and hr_name in the card, such as lr_name = "{}_LR"'
            raise UserError(f"{root / layout[0]} holds LR and HR images, and nothing says which is which", fix)
    if card.has_hr is False or layout[0] == layout[1] or not (root / layout[1]).is_dir():
        ids = _by_id(lr, given.lr if given else "{}", "lr_name")
        return [Files(id, ids[id], None, _case(card, id)) for id in sorted(ids)]
    hr = files_by_stem(root / layout[1], below=layout[1] != ".")
    if card.cases:
        return _cases(card, root, layout, _by_id(lr, (given or Names()).lr, "lr_name"), hr)
    names, guess = (given, None) if given else names_of_two_folders(lr, hr)
    if names is None and guess is not None:
        raise UserError(
            f"{root}: names in {layout[0]} and {layout[1]} differ ({min(lr)} and {min(hr)})",
            f"if they belong together, say how in a card: {guess.as_card} (docs/datasets.md)",
        )
    names = names or Names()
    return _paired(root, layout, _by_id(lr, names.lr, "lr_name"), _by_id(hr, names.hr, "hr_name"))


def _cases(
    card: Card, root: Path, layout: tuple[str, str], lr: Mapping[str, Path], hr_files: Mapping[str, Path]
) -> list[Files]:
    """Pair LR files in sub-folders with HR files that the sub-folders share."""
    hr = _by_id(hr_files, card.hr_name or "{}", "hr_name")
    shared = {id: id.rpartition("/")[2] for id in lr}
    _refuse_unpaired(root, layout, set(shared.values()), hr.keys())
    return [Files(id, lr[id], hr[shared[id]], _case(card, id)) for id in sorted(lr)]


def _case(card: Card, id: str) -> str | None:
    return (id.rpartition("/")[0] or None) if card.cases else None


def _by_id(files: Mapping[str, Path], pattern: str, key: str) -> dict[str, Path]:
    found = {image_id(stem, pattern): path for stem, path in files.items()}
    if None in found:
        raise UserError(
            f'{found[None]} does not fit {key} = "{pattern}"', f"rename it, move it out, or correct {key} in the card"
        )
    return {id: path for id, path in found.items() if id is not None}


def _told_apart(files: Mapping[str, Path], names: Names, folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Return the LR and the HR files of one folder by id; a file that fits both names is what the longer one says."""
    sides: dict[str, dict[str, Path]] = {names.lr: {}, names.hr: {}}
    if len(sides) < 2:
        raise UserError(f"lr_name and hr_name are both {names.lr}, for one folder", "correct them in the card")
    for stem, path in files.items():
        fits = [(pattern, id) for pattern in sides if (id := image_id(stem, pattern)) is not None]
        if not fits:
            raise UserError(f"{path} fits neither {names.lr} nor {names.hr}", f"move it out of {folder}")
        pattern, id = max(fits, key=lambda fit: len(fit[0]))
        sides[pattern][id] = path
    return sides[names.lr], sides[names.hr]


def _paired(root: Path, layout: tuple[str, str], lr: Mapping[str, Path], hr: Mapping[str, Path]) -> list[Files]:
    _refuse_unpaired(root, layout, lr.keys(), hr.keys())
    return [Files(id, lr[id], hr[id]) for id in sorted(lr)]


def _refuse_unpaired(root: Path, layout: tuple[str, str], lr: Set[str], hr: Set[str]) -> None:
    if lr != hr:
        shared = {id.rpartition("/")[2] for id in lr} == hr
        raise UserError(
            _unpaired(root, layout, sorted(lr - hr), sorted(hr - lr)),
            f"if each folder in {layout[0]} is a degradation of the images in {layout[1]}: cases = true in a card "
            "(docs/datasets.md)"
            if shared
            else "pairs are joined by file stem: add the missing files or remove the extra ones, or say how names "
            'differ in a card, such as lr_name = "{}x4" (docs/datasets.md)',
        )


def _unpaired(root: Path, layout: tuple[str, str], no_hr: Sequence[str], no_lr: Sequence[str]) -> str:
    have, lack = ("the LR images", "the HR images") if layout[0] == layout[1] else layout
    parts = [
        f"{len(stems)} in {a} have no partner in {b} ({', '.join(stems[:3])}{', ...' if len(stems) > 3 else ''})"
        for stems, a, b in ((no_hr, have, lack), (no_lr, lack, have))
        if stems
    ]
    return f"{root}: " + "; ".join(parts)
