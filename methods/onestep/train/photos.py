"""Which photos a training takes: below folders or from list files, all of them or the first ones. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from isrbench.harness.documents import read_text
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.formats import is_image
from isrbench.harness.imaging.listing import list_images
from isrbench.methods.onestep.train.config import Data

LIMITED = re.compile(r"(.+):(\d+)")
"""A source and how many of its photos."""
_FIX = "pass a folder of JPEG or PNG photos with --data, or a text file with one path a line"


@dataclass(frozen=True)
class Photo:
    """A photo to train on."""

    path: Path
    name: str
    """Its path below its folder, or as its list has it, without the ending: the same on every machine that keeps the
    folder's layout. Resuming compares names, and prompts are found by them."""


@dataclass(frozen=True)
class Source:
    """One word of ``--data``.

    A limit takes the first photos in sorted order, not a random part. The published recipes do so (OSEDiff's README:
    "the first 10k images from FFHQ"), and a machine that holds only those files trains on the same photos as one that
    holds all. Where the order of the names means something, a list file can mix them.
    """

    path: Path
    """A folder, searched recursively, or a text file that lists photos."""
    limit: int | None = None
    """Take this many, the first ones; None = all."""


def read_source(word: str) -> Source:
    """Read one word of ``--data``: ``FOLDER``, ``LIST.txt``, or either with ``:N`` behind it.

    A folder or file that is really called so comes before a limit.

    Raises:
        UserError: If there is no such folder or file, it is a photo itself, or the limit is 0.
    """
    source = Source(Path(word))
    limited = LIMITED.fullmatch(word)
    if limited and not source.path.exists():
        source = Source(Path(limited[1]), int(limited[2]))
    path = source.path
    if not path.is_dir() and not path.is_file():
        raise UserError(f"{path} is neither a folder nor a file that lists photos", _FIX)
    if path.is_file() and is_image(path):
        raise UserError(f"{path} is an image, not a folder or a list of photos", _FIX)
    if source.limit == 0:
        raise UserError(f"--data {word} takes no photo", f"write {path}:N with N of 1 or more, or {path} for all")
    return source


def photos_of(source: Source) -> list[Photo]:
    """Return the photos of one source: of a folder sorted by path, of a list in its order.

    Raises:
        UserError: If there is no photo, the limit is larger than their number, a list cannot be read, or photos that
            it names are absent.
    """
    path = source.path
    if path.is_file():
        photos = [Photo(path.parent / line, _bare(PurePath(line))) for line in _lines(path)]
    else:
        photos = [Photo(file, _bare(file.relative_to(path))) for file in list_images(path, recursive=True, tell=True)]
        if not photos:
            raise UserError(f"no images below {path}", _FIX)
    if source.limit is not None and source.limit > len(photos):
        raise UserError(
            f"--data {path}:{source.limit} asks for more photos than the {len(photos)} that are there",
            f"write {path}:{len(photos)} or less, or {path} for all",
        )
    photos = photos[: source.limit]
    absent = [photo.path for photo in photos if not photo.path.is_file()] if path.is_file() else []
    if absent:
        raise UserError(
            f"{path}: {len(absent)} of {len(photos)} photos are not there, the first is {absent[0]}",
            "correct the list; its paths are relative to its own folder",
        )
    return photos


def find_photos(words: Iterable[str]) -> list[Photo]:
    """Return the photos of all words of ``--data``, source after source; what is named twice is there twice.

    Raises:
        UserError: See :func:`read_source` and :func:`photos_of`.
    """
    return [photo for word in words for photo in photos_of(read_source(word))]


def check_sources(data: Data) -> None:
    """Look for folders and files without looking into folders, which can take long.

    Raises:
        UserError: If one is absent or unfit, a list names no photo, or the file of prompts is absent.
    """
    for source in map(read_source, data.folders):
        if source.path.is_file():
            _lines(source.path)
    if data.prompts and not Path(data.prompts).is_file():
        raise UserError(f"data.prompts: {data.prompts} does not exist", "isrbench tools tags writes one")


def _bare(path: PurePath) -> str:
    return path.with_suffix("").as_posix()


def _lines(path: Path) -> list[str]:
    """The paths that a list names; blank lines and comments are passed over."""
    lines = [line.strip() for line in read_text(path, _FIX, "the list of photos").splitlines()]
    named = [line for line in lines if line and not line.startswith("#")]
    if not named:
        raise UserError(f"{path} lists no photo", "write one path a line, relative to the file")
    return named
