"""Where data lies: the folder of the sets that ship, the data roots, and a set's own folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.listing import list_images

if TYPE_CHECKING:
    from isrbench.harness.api.dataset import Card


def catalogue_folder() -> Path:
    """Return the folder of the cards and sets that ship: ``isrbench/datasets``, in the wheel as in a checkout."""
    # Beside harness/, which this file is reached by: isrbench/ holds both, as links or as folders.
    return (Path(__file__).parents[2] / "datasets").resolve()


def data_roots(data_root: Path | None) -> list[Path]:
    """Return where sets are looked for: ``data_root`` alone if given, else ``$ISRBENCH_DATA`` and ``./data``."""
    if data_root is not None:
        return [data_root]
    environment = os.environ.get("ISRBENCH_DATA")
    return [*([Path(environment)] if environment else []), Path("data")]


def find_root(card: Card, data_root: Path | None = None) -> Path:
    """Return the set's own folder.

    A card with a ``root`` (the sample set, a folder, a user's card) names its folder. The folder of any other is looked
    for in every data root: the root itself, and the set's known folder names below it (or below an unpacked archive).

    Raises:
        UserError: If nothing there looks like the set (names the places and how to get it), or a data root is given
            for a set that was named by its path.
    """
    if card.root is not None:
        # The user names two places; to take either would quietly score the wrong one.
        if data_root is not None and card.root != catalogue_folder() / card.id:
            raise UserError(
                f"--dataset says that {card.id} lies in {card.root}, --data-root says {data_root}",
                "leave --data-root out, or give the folder that you mean as --dataset",
            )
        return card.root
    names = [card.id, *card.folders] + ([card.archive.folder] if card.archive else [])
    for root in data_roots(data_root):
        for place in (root / name for name in names):
            if place.is_dir() and find_layout(card, place) is not None:
                return place.resolve()
        if root.is_dir() and _is_the_set(card, root):
            return root.resolve()
    raise _not_found(card, names, data_roots(data_root))


def _is_the_set(card: Card, root: Path) -> bool:
    """Return whether a data root is the set's own folder: images that lie in it directly have to be as many."""
    if all(lr == "." for lr, _ in card.layouts):
        # Sub-folders of a data root are other sets: looking through all of them would take minutes, too.
        found = list_images(root)
        return bool(found) and card.count in (None, len(found))
    return find_layout(card, root) is not None


def _not_found(card: Card, names: Sequence[str], roots: Sequence[Path]) -> UserError:
    layouts = ", ".join("/".join(pair) for pair in card.layouts if pair[0] != ".")
    fetch = f"isrbench fetch datasets --dataset {card.id}" + (" --accept-license" if card.non_commercial else "")
    by_hand = f"get it from {card.source} and put it into {roots[0] / card.id}"
    can_fetch = card.archive is not None or card.table is not None
    return UserError(
        f"the dataset {card.id} was not found below {', '.join(map(str, roots))} (looked for {', '.join(names)}, or "
        f"the folder itself, {f'with sub-folders {layouts}' if layouts else 'with its images'})",
        f"give its folder with --data-root DIR, or {f'download it: {fetch}' if can_fetch else by_hand}",
    )


def find_layout(card: Card, root: Path) -> tuple[str, str] | None:
    """Return which of the card's layouts, (LR folder, HR folder), ``root`` has, as its folders are spelled, or None.

    A layout whose HR folder is there comes before one without, which a card that says ``has_hr = true`` never gets; of
    the usual names some mean LR images only beside an HR folder.
    The folder itself, ``.``, is a layout only if it holds images.
    """
    from isrbench.harness.api.dataset import LAYOUTS, LR_FOLDERS

    spelled = [(_spelled(root, lr), hr, _spelled(root, hr)) for lr, hr in card.layouts]
    paired = [(lr, hr) for lr, _, hr in spelled if lr and hr and card.has_hr is not False]
    alone = [(lr, hr) for (name, _), (lr, hr, _) in zip(card.layouts, spelled, strict=True)
             if lr and (card.layouts != LAYOUTS or name in LR_FOLDERS)]  # fmt: skip
    there = paired if card.has_hr else [*paired, *alone]
    return next((layout for layout in there if layout[0] != "." or _images(card, root)), None)


def _images(card: Card, folder: Path) -> list[Path]:
    """Return the images in ``folder``; where it has none and the card knows cases, those below it."""
    return list_images(folder) or (list_images(folder, recursive=True) if card.cases else [])


def _spelled(root: Path, name: str) -> str | None:
    """Return the sub-folder that is called ``name``, capital letters aside; exactly so comes first."""
    found: list[str] = []
    for part in PurePosixPath(name).parts:
        place = root.joinpath(*found)
        if (place / part).is_dir():
            found.append(part)
            continue
        try:
            others = sorted(p.name for p in place.iterdir() if p.name.lower() == part.lower() and p.is_dir())
        except OSError:
            return None
        if not others:
            return None
        found.append(others[0])
    return "/".join(found) or "."
