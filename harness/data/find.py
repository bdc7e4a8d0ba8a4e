"""Where data lies: the folder of the sets that ship, the data roots, and a set's own folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.errors import UserError

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
    places = [place for root in data_roots(data_root) for place in (*(root / n for n in names), root)]
    for place in places:
        if place.is_dir() and find_layout(card, place) is not None:
            return place.resolve()
    layouts = ", ".join("/".join(pair) for pair in card.layouts)
    looked = ", ".join(str(root) for root in data_roots(data_root))
    fetch = f"isrbench fetch datasets --dataset {card.id}" + (" --accept-license" if card.non_commercial else "")
    can_fetch = card.archive is not None or card.table is not None
    raise UserError(
        f"the dataset {card.id} was not found below {looked} (looked for {', '.join(names)}, or the folder itself, "
        f"with sub-folders {layouts})",
        "give its folder with --data-root DIR" + (f", or download it: {fetch}" if can_fetch else ""),
    )


def find_layout(card: Card, root: Path) -> tuple[str, str] | None:
    """Return which of the card's layouts, (LR folder, HR folder), ``root`` has, or None.

    A layout whose HR folder is there comes before one without, which a card that says ``has_hr = true`` never gets.
    """
    there = [layout for layout in card.layouts if (root / layout[0]).is_dir()]
    paired = [layout for layout in there if card.has_hr is not False and (root / layout[1]).is_dir()]
    return next(iter(paired if card.has_hr else [*paired, *there]), None)
