"""The images of a folder, by their endings and by what files hold. Neither Pillow nor NumPy is imported."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from pathlib import Path

from isrbench.harness.files import some
from isrbench.harness.imaging.formats import IMAGE_SUFFIXES, is_image, kind_of

log = logging.getLogger(__name__)


def list_images(folder: Path, *, recursive: bool = False, tell: bool = False) -> list[Path]:
    """Return the image files in ``folder``, sorted by path; hidden files are passed over.

    A file is an image if its ending or its content says so (:func:`~isrbench.harness.imaging.formats.is_image`). One
    whose name goes on behind that of another, such as ``a.png.bak``, is a copy of it and passed over. A folder whose
    name ends as an image's does is none; a link to nothing is listed, for its reader to report.

    Args:
        folder: Where to look.
        recursive: Look below its folders too.
        tell: Warn of what is passed over although it is a picture.

    Raises:
        OSError: If the folder cannot be read.
    """
    entries = list(folder.rglob("*") if recursive else folder.iterdir())
    files = [p for p in entries if not p.name.startswith(".") and not p.is_dir()]
    named = {p for p in files if p.suffix.lower() in IMAGE_SUFFIXES}
    others = [p for p in files if p not in named]
    found = {p for p in others if not _is_copy(p, named) and is_image(p)}
    if tell:
        _tell_passed_over(folder, [p for p in others if p not in found], named | found)
        inner = [] if recursive else sorted(p for p in entries if not p.name.startswith(".") and _holds_images(p))
        if inner:
            log.warning("%s: the images in its folders are left out: %s", folder, some([p.name for p in inner]))
    return sorted(named | found)


def _holds_images(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(p.suffix.lower() in IMAGE_SUFFIXES for p in folder.iterdir())
    except OSError:  # one that cannot be read is not what was asked for
        return False


def _is_copy(path: Path, images: Collection[Path]) -> bool:
    """Return whether a name is that of an image and more."""
    name = path.name
    return any(path.with_name(name[:end]) in images for end in range(1, len(name)) if name[end] in "._-~ ")


def _tell_passed_over(folder: Path, others: Iterable[Path], images: Collection[Path]) -> None:
    kinds = {path: kind for path in sorted(others) if (kind := kind_of(path)) is not None and kind.picture}
    if kinds:
        names = [
            f"{path.relative_to(folder)} ({'a copy' if _is_copy(path, images) else kind.name})"
            for path, kind in kinds.items()
        ]
        log.warning("%s: passed over, as they are not read: %s", folder, some(names))
