"""The cards that ship, and the card that a name stands for."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

import isrbench
from isrbench.harness.api.registry import unknown_name
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from isrbench.harness.api.dataset import Card

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


def catalogue_folder() -> Path:
    """Where the cards lie: ``isrbench/datasets``, in the wheel as in a checkout."""
    return Path(isrbench.__file__).parent / "datasets"


@cache
def catalogue() -> dict[str, Path]:
    """Card files that ship, by dataset id (the file's stem)."""
    return {path.stem: path for path in sorted(catalogue_folder().glob("*.toml"))}


def load_card(path: Path) -> Card:
    """Read and check one card; a relative ``root`` is resolved against the card's own folder.

    Raises:
        UserError: If the file is no TOML or does not fit the schema; names the key.
    """
    from isrbench.harness.api.dataset import Card

    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", "fix the card; see docs/datasets.md") from error
    except ValidationError as error:
        problems = "; ".join(": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors())
        raise UserError(
            f"{path} is not a valid dataset card: {problems}", "fix the card; see docs/datasets.md"
        ) from error
    return card if card.root is None else card.model_copy(update={"root": (path.parent / card.root).resolve()})


def find_card(name: str) -> Card:
    """The card for a dataset id, a ``.toml`` file, or a plain folder of images.

    Raises:
        UserError: If ``name`` is none of these, or a card of the user's that takes the id of a set that ships.
    """
    if name in catalogue():
        return load_card(catalogue()[name])
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        card = load_card(path)
        # Rows of two sets under one id would end up in one mean.
        if card.id in catalogue() and card != load_card(catalogue()[card.id]):
            raise UserError(
                f"{path} takes the id of a set that ships, {card.id}, but says other things of it",
                f'give it an id of its own, such as id = "{card.id}-mine"',
            )
        return card
    if path.is_dir():
        from isrbench.harness.data.pairs import card_of_folder

        return card_of_folder(path.resolve())
    if path.suffix == ".toml" or len(path.parts) > 1:
        raise UserError(f"--dataset {name}: there is no such card or folder", "check the path")
    raise UserError(
        unknown_name("dataset", name, list(catalogue())), "isrbench list datasets, or give a folder or a card"
    )
