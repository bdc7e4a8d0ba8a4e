"""Dataset cards: what a test set is, stated in TOML and checked by pydantic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from isrbench.harness.api.registry import unknown_name
from isrbench.harness.data.card_files import catalogue
from isrbench.harness.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

Size = Annotated[tuple[int, int], Field(description="height, width in pixels")]

LAYOUTS: tuple[tuple[str, str], ...] = (("test_LR", "test_HR"), ("lq", "gt"), ("LR", "HR"))
"""Sub-folder names for (LR, HR) that the field's copies of the test sets use."""


class Archive(BaseModel):
    """A zip file on the Hugging Face hub that holds a set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repo: str
    """Dataset repository, ``owner/name``."""
    file: str
    """The zip's name in the repository."""
    folder: str
    """The set's folder inside the zip."""
    gigabytes: float
    """Size of the download in GB."""
    revision: str = "main"
    """Branch, tag or commit."""


class HubTable(BaseModel):
    """A Hugging Face dataset (hub id, or a local folder of Parquet files) with image columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """What ``datasets.load_dataset`` takes."""
    split: str = "test"
    """Which split holds the set."""
    id: str | None = None
    """Column of image ids; rows are numbered where there is none."""
    lr: str = "lr"
    """Column of LR images."""
    hr: str | None = "hr"
    """Column of HR images; None where there is none."""
    revision: str | None = None
    """Branch, tag or commit; None = the newest."""


class Card(BaseModel):
    """One test set. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What rows, tables and ``--dataset`` call the set; runs over sets of one id are put into one table."""
    title: str
    """The set's name in words."""
    summary: str = ""
    """One sentence for lists."""
    scale: int = Field(ge=1, le=16)
    """How many times larger HR is than LR along each side; methods are asked for this factor."""
    count: int | None = Field(default=None, ge=1)
    """Number of images; None leaves it open."""
    lr_size: Size | None = None
    """(height, width) of every LR image; None where they differ."""
    hr_size: Size | None = None
    """(height, width) of every HR image; None where they differ. With ``lr_size`` given it must be scale times that."""
    licence: str
    """SPDX id, or words where none fits."""
    non_commercial: bool = False
    """Whether the user must accept the licence before a download."""
    citation: str = ""
    """BibTeX."""
    source: str
    """Where the set comes from: a URL or words."""
    protocol: str = ""
    """What a reader must know before comparing numbers: crops, degradation, variant."""
    folders: tuple[str, ...] = ()
    """Folder names that copies of the set go by, besides its id."""
    layouts: tuple[tuple[str, str], ...] = LAYOUTS
    """Sub-folder names for (LR, HR) to try, in this order."""
    has_hr: bool | None = None
    """Whether HR images belong to the set: true = refuse a copy without them, false = never look for them, None = take
    them where they are (metrics that need HR stay blank where they are not)."""
    root: Path | None = None
    """The set's own folder, relative to the card; for cards that travel with their data."""
    content_hash: str | None = None
    """sha256 over ids and decoded pixels (:func:`isrbench.harness.data.pairs.content_hash`); None = not known to us."""
    levels: str | None = None
    """CSV (image,level) below the root with the true severity level of a synthetic set."""
    archive: Archive | None = None
    """A zip to download the set from."""
    table: HubTable | None = None
    """A Hugging Face dataset to download the set from."""

    @model_validator(mode="after")
    def _sizes_agree(self) -> Card:
        lr, hr = self.lr_size, self.hr_size
        if lr and hr and hr != (lr[0] * self.scale, lr[1] * self.scale):
            raise ValueError(f"hr_size {list(hr)} is not scale {self.scale} times lr_size {list(lr)}")
        return self


def load_card(path: Path) -> Card:
    """Read and check one card; a relative ``root`` is resolved against the card's own folder.

    Raises:
        UserError: If the file is no TOML or does not fit the schema; names the key.
    """
    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", "mend the card; see docs/datasets.md") from error
    except ValidationError as error:
        problems = "; ".join(": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in error.errors())
        raise UserError(
            f"{path} is not a valid dataset card: {problems}", "mend the card; see docs/datasets.md"
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
