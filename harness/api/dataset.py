"""What a test set is: a card, stated in TOML and checked by pydantic, and the pairs of images that it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

Size = Annotated[tuple[int, int], Field(description="height, width in pixels")]

LAYOUTS: tuple[tuple[str, str], ...] = (
    ("test_LR", "test_HR"), ("lq", "gt"), ("LR/X4", "HR"), ("LR", "HR"), ("LR_bicubic/X4", "HR"), ("X4", "HR"),
    ("input", "target"),
)  # fmt: skip
"""Sub-folder names for (LR, HR) that the field's copies of the test sets use; capital letters make no difference."""
LR_FOLDERS = frozenset({"test_LR", "lq", "LR"})
"""Those whose name alone says that they hold LR images, also where there is no HR; ``X4`` may hold results."""

MAX_SCALE = 16
"""The largest scale of a set."""


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

    @property
    def unpacked(self) -> int:
        """Bytes that a set may take that is unpacked from it: three times the download, more than pictures need."""
        return max(int(3 * self.gigabytes * 1e9), 10**8)


class HubTable(BaseModel):
    """A Hugging Face dataset (hub id, or a local folder of Parquet files) with image columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """A hub id; or a folder, relative to the card or to the current one, which needs no network."""
    split: str = "test"
    """Which split holds the set."""
    id: str | None = None
    """Column of image ids, with or without an image's ending; rows are numbered where there is none."""
    lr: str = "lr"
    """Column of LR images."""
    hr: str | None = "hr"
    """Column of HR images; None where there is none."""
    revision: str | None = None
    """Branch, tag or commit; None = the newest."""


class Card(BaseModel):
    """One test set. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What rows, tables and ``--dataset`` call the set; runs over sets of one id are put into one table."""
    title: str
    """The set's name in words."""
    summary: str = ""
    """One sentence for lists."""
    scale: int = Field(ge=1, le=MAX_SCALE)
    """How many times larger HR is than LR along each side; methods are asked for this factor."""
    count: int | None = Field(default=None, ge=1)
    """Number of images; None leaves it open."""
    lr_size: Size | None = None
    """(height, width) of every LR image; None where they differ."""
    hr_size: Size | None = None
    """(height, width) of every HR file; None where they differ. With ``lr_size`` given it must be scale times that,
    but for what ``hr_crop`` cuts."""
    hr_crop: Literal["modulo"] | None = None
    """``modulo`` = HR images that are up to scale - 1 pixels larger than scale times their LR on a side are cut at the
    right and at the bottom, as the field makes its sets; None = they are refused."""
    license: str = Field(validation_alias=AliasChoices("license", "licence"))
    """SPDX id, or words where none fits."""
    non_commercial: bool = False
    """Whether the user must accept the license before a download."""
    citation: str = ""
    """BibTeX."""
    source: str
    """Where the set comes from: a URL or words."""
    notes: str = Field(default="", validation_alias=AliasChoices("notes", "protocol"))
    """What a reader must know before comparing numbers: crops, degradation, variant."""
    folders: tuple[str, ...] = ()
    """Folder names that copies of the set go by, besides its id."""
    layouts: tuple[tuple[str, str], ...] = LAYOUTS
    """Sub-folder names for (LR, HR) to try, in this order."""
    lr_name: str | None = Field(default=None, pattern=r"^[^{}]*\{\}[^{}]*$")
    """What an LR file is called, without its ending: ``{}`` is the image's id, as in ``"{}x4"``. None = found out
    (:mod:`isrbench.harness.data.names`)."""
    hr_name: str | None = Field(default=None, pattern=r"^[^{}]*\{\}[^{}]*$")
    """What an HR file is called; ``{}`` where only ``lr_name`` is given."""
    cases: bool = False
    """Whether LR images may lie in sub-folders, one a case (a degradation, a kind of image), while HR images lie in one
    folder: ``LR/deg_0/a.png`` and ``LR/deg_1/a.png`` belong to ``HR/a.png``. Ids are then ``deg_0/a``, and the case is
    the image's level."""
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
            rests = [large - small * self.scale for large, small in zip(hr, lr, strict=True)]
            uncut = all(0 <= rest < self.scale for rest in rests)
            if not uncut or self.hr_crop is None:
                hint = ', and hr_crop = "modulo" would cut the rest off' if uncut else ""
                raise ValueError(f"hr_size {list(hr)} is not scale {self.scale} times lr_size {list(lr)}{hint}")
        return self


@dataclass(frozen=True)
class Pair:
    """One test image: a low-resolution input and, where the set has one, its high-resolution original."""

    id: str
    """The file's stem, without what tells LR from HR; below sub-folders with theirs, ``001/0``."""
    lr: Path
    hr: Path | None
    lr_hash: str
    """sha256 of the decoded LR pixels."""
    hr_hash: str | None
    size: tuple[int, int]
    """(height, width) of the LR image."""
    level: str | None = None
    """The true severity level of a synthetic image."""
    hr_size: tuple[int, int] | None = None
    """(height, width) that the HR image is cut to, for a set with ``hr_crop``; None = it fits as it is."""
