"""Restoring a user's own pictures with any method: no dataset, no scores, no store."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.method import Method, Prepares
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.errors import UserError
from isrbench.harness.files import IMAGE_SUFFIXES, list_images
from isrbench.harness.imaging.images import read_photo, write_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """What ``isrbench restore`` is asked for."""

    source: Path
    """A picture or a folder."""
    target: Path
    """For a picture the PNG to write (or a folder to write it in); for a folder the folder to write in."""
    scale: int = 4
    """Upscaling factor."""
    device: str = "auto"
    seed: int = 0
    """Each picture gets its own seed from it."""
    overwrite: bool = False
    """Whether an existing target may be replaced."""


def restore_files(
    method: Method, pictures: Pictures, progress: Callable[[str, int, int], None]
) -> tuple[list[Path], list[Path]]:
    """Restore one picture, or every picture of a folder, into PNGs.

    Args:
        method: Ready to run.
        pictures: Which, and where to.
        progress: Told after every picture.

    Returns:
        (written, failed) paths: the PNGs, and the pictures that could not be restored.

    Raises:
        UserError: If there is nothing to restore, a target exists already, or no PNG can be written there.
    """
    try:
        jobs = _jobs(pictures.source, pictures.target)
        taken = next((png for _, png in jobs if png.exists()), None)
    except OSError as error:
        raise UserError(f"{error.filename or pictures.source}: {error.strerror}", "check the path") from error
    if taken is not None and not pictures.overwrite:
        raise UserError(f"{taken} exists already", "choose another place, or allow it with --overwrite")
    if isinstance(method, Prepares):
        method.prepare([(picture.stem, picture) for picture, _ in jobs])
    written, failed = [], []
    for done, (picture, png) in enumerate(jobs, 1):
        try:
            pixels, _ = restore_pixels(method, read_photo(picture), picture.stem, pictures.seed, pictures.scale)
        except UserError as error:
            if len(jobs) == 1:
                raise
            log.warning("%s", error)
            failed.append(picture)
        except Exception as error:
            log.warning("%s could not be restored: %s: %s", picture, type(error).__name__, error)
            log.info("the reason in full", exc_info=True)
            failed.append(picture)
        else:
            _write(png, pixels)
            written.append(png)
        progress("restore", done, len(jobs))
    return written, failed


def _write(png: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a PNG; a place that takes none takes no other either, so the first refusal ends the work."""
    try:
        png.parent.mkdir(parents=True, exist_ok=True)
        write_png(png, pixels)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        fix = "make room, then go on with the pictures that are left" if full else "choose a place that can be written"
        raise UserError(f"{png} cannot be written: {error.strerror or error}", fix) from error


def _jobs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if source.is_dir():
        pictures = list_images(source)
        if not pictures:
            raise UserError(f"{source} holds no pictures", f"endings that count: {', '.join(sorted(IMAGE_SUFFIXES))}")
        if target.is_file():
            raise UserError(f"{source} is a folder, but {target} is a file", "name a folder to write in")
        stems = [picture.stem for picture in pictures]
        twice = next((s for s in stems if stems.count(s) > 1), None)
        if twice is not None:
            raise UserError(f"{source} holds two pictures called {twice}", "rename one of them")
        return [(picture, target / f"{picture.stem}.png") for picture in pictures]
    if not source.is_file():
        raise UserError(f"{source} does not exist", "check the path")
    if target.is_dir() or not target.suffix:
        return [(source, target / f"{source.stem}.png")]
    if target.suffix.lower() != ".png":
        raise UserError(f"{target}: restored images are written as PNG", f"name it {target.with_suffix('.png')}")
    return [(source, target)]
