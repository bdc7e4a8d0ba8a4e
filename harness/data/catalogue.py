"""The cards that ship, and the card that a name stands for."""

from __future__ import annotations

import hashlib
import sys
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.data.find import catalogue_folder, find_layout
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_there, list_images

if TYPE_CHECKING:
    from isrbench.harness.api.dataset import Card

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


@cache
def catalogue() -> dict[str, Path]:
    """Return the card files that ship, by dataset id (the file's stem)."""
    return {path.stem: path for path in sorted(catalogue_folder().glob("*.toml"))}


def load_card(path: Path) -> Card:
    """Read and check one card; a relative ``root`` is resolved against the card's own folder.

    Raises:
        UserError: If the file is not TOML or does not fit the schema; names the key.
    """
    from pydantic import ValidationError

    from isrbench.harness.api.dataset import Card

    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", "correct the card; see docs/datasets.md") from error
    except ValidationError as error:
        problems = "; ".join(": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors())
        raise UserError(
            f"{path} is not a valid dataset card: {problems}", "correct the card; see docs/datasets.md"
        ) from error
    return card if card.root is None else card.model_copy(update={"root": (path.parent / card.root).resolve()})


def find_card(name: str) -> Card:
    """Return the card for a dataset id, a ``.toml`` file, or a plain folder of images.

    Raises:
        UserError: If ``name`` is none of these, or a card of the user's that takes the id of a set that ships.
    """
    if name in catalogue():
        return load_card(catalogue()[name])
    path = Path(name)
    there = is_there(path)
    if there and path.suffix == ".toml" and path.is_file():
        card = load_card(path)
        # Rows of two sets under one id would end up in one mean.
        if card.id in catalogue() and card != load_card(catalogue()[card.id]):
            raise UserError(
                f"{path} takes the id of a set that ships, {card.id}, but describes another set",
                f'give it another id, such as id = "{card.id}-mine"',
            )
        return card
    if there and path.is_dir():
        return card_of_folder(path.resolve())
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UserError(f"--dataset {name}: this card or folder does not exist", "check the path")
    raise UserError(
        unknown_name("dataset", name, list(catalogue())), "isrbench list datasets, or give a folder or a card"
    )


def card_of_folder(folder: Path) -> Card:
    """Return a card for a plain folder: LR/HR sub-folders of a known layout, or LR images alone (no HR).

    The scale is that of the first pair; without HR it is 4.

    Raises:
        UserError: If the folder holds neither, or the first pair's sizes have no whole ratio.
    """
    from isrbench.harness.api.dataset import LAYOUTS, Card

    refuse_odd_name(folder)
    card = Card(
        id=id_of_folder(folder), title=folder.name, scale=4, license="the user's own", source=str(folder), root=folder
    )
    layout = find_layout(card, folder)
    if layout is None:
        if not list_images(folder):
            layouts = ", ".join("/".join(pair) for pair in LAYOUTS)
            raise UserError(f"{folder} holds neither images nor sub-folders {layouts}", "check the path")
        return card.model_copy(update={"has_hr": False, "layouts": ((".", "."),)})
    if not (folder / layout[1]).is_dir():
        return card.model_copy(update={"has_hr": False, "layouts": (layout,)})
    scale = _scale_of_first_pair(folder / layout[0], folder / layout[1])
    return card.model_copy(update={"scale": scale or card.scale, "layouts": (layout,), "has_hr": True})


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


def refuse_odd_name(path: Path) -> None:
    """Refuse a path that is not UTF-8, as old archives leave behind: no row and no manifest could hold it.

    Raises:
        UserError: If a name in the path cannot be read.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        # Backslashes stand for the bytes: this text is itself printed and stored.
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(
            f"the name of {shown} is not UTF-8", "rename it, for example: convmv -f latin1 -t utf8 --notest FILE"
        ) from None


def _scale_of_first_pair(lr_folder: Path, hr_folder: Path) -> int | None:
    """Return how many times larger HR is than LR; None where no image is in both folders (loading reports that)."""
    from isrbench.harness.api.dataset import MAX_SCALE
    from isrbench.harness.imaging.images import read_size

    lrs, hrs = ({path.stem: path for path in list_images(folder)} for folder in (lr_folder, hr_folder))
    common = min(lrs.keys() & hrs.keys(), default=None)
    if common is None:
        return None
    lr, hr = read_size(lrs[common]), read_size(hrs[common])
    scale = hr[0] // lr[0]
    if scale < 1 or hr != (lr[0] * scale, lr[1] * scale):
        raise UserError(
            f"{hrs[common]} is {hr[1]}x{hr[0]} and its LR {lr[1]}x{lr[0]}: HR must be a whole multiple of LR",
            "crop HR to a multiple, or state scale and sizes in a card (docs/datasets.md)",
        )
    if scale > MAX_SCALE:
        raise UserError(
            f"{hrs[common]} is {scale} times as large as its LR, but a set's scale is {MAX_SCALE} at most",
            "check that these two folders belong together: HR/ and LR/ hold images of one name",
        )
    return scale
