"""Which files `isrbench restore` reads, and which it writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isrbench.harness.errors import UserError
from isrbench.harness.files import check_file, is_there
from isrbench.harness.imaging.listing import list_images
from isrbench.harness.imaging.writing import check_name

Job = tuple[Path, Path]
"""(picture, file to write)."""


def find_jobs(wanted: Sequence[Any], target: Path, one: bool) -> list[Job]:
    """Return what to read and what to write.

    Args:
        wanted: What the user names: files, or one folder.
        target: Where to write.
        one: Whether a single thing is named, and not a list.

    Raises:
        UserError: If there is none, two would be written to one file, or source and target do not fit each other.
    """
    odd = next((image for image in wanted if not isinstance(image, str | Path)), None)
    if odd is not None:
        raise UserError(
            f"to={str(target)!r} is for files, but one image is a {type(odd).__name__}",
            "leave `to` out and save the array that comes back: PIL.Image.fromarray(array).save(...)",
        )
    sources = [Path(image) for image in wanted]
    try:
        if one and not sources[0].is_dir():
            return [(sources[0], _target_of(sources[0], target))]
        if one:
            sources = list_images(sources[0], tell=True)
        if not sources:
            raise UserError(
                f"{wanted[0]} holds no images" if one else "no images are given", "name a folder that holds some"
            )
    except OSError as error:
        raise UserError(f"{error.filename or wanted[0]}: {error.strerror}", "check the path") from error
    if target.is_file():
        raise UserError(f"{target} is a file, but {len(sources)} images need a folder", "name a folder to write in")
    stems = [source.stem for source in sources]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise UserError(f"two of the images are called {twice}", "rename one of them")
    return [(source, target / f"{source.stem}.png") for source in sources]


def check_free(jobs: Sequence[Job], overwrite: bool) -> None:
    """Refuse what would write over an original, and over anything else unless that is allowed.

    Raises:
        UserError: Naming the first such file.
    """
    sources = {source.resolve() for source, _ in jobs}
    taken = next((target for _, target in jobs if is_there(target) and target.resolve() in sources), None)
    if taken is not None:
        raise UserError(f"{taken} is an original, which is never written over", "choose another name or folder")
    # A link to nothing, such as to a drive that is not mounted, is there as well.
    taken = None if overwrite else next((target for _, target in jobs if os.path.lexists(target)), None)
    if taken is not None:
        raise UserError(f"{taken} exists already", "choose another place, or allow it with --overwrite")


def _target_of(source: Path, target: Path) -> Path:
    check_file(source, "give an image file, or a folder of them")
    if target.is_dir() or not target.suffix:
        return target / f"{source.stem}.png"
    check_name(target)
    return target
