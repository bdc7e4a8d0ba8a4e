"""Images in the report's folder, so that it can be moved or published: previews or copies, and thumbnails."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.colour import is_for, profile_of
from isrbench.harness.imaging.images import cut_to, read_rgb, read_size, write_png
from isrbench.harness.imaging.opening import opened
from isrbench.reports.aligned import AlignedRuns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_THUMBNAIL = 240
_WORKERS = 4
QUALITY = 95
"""Of previews, as WebP counts it: of RealSR's 512x512 images they are a seventh of the PNGs, 42 dB from them."""
_SMALL = 64 << 10
"""Bytes up to which a file is shown itself: LRs, whose pixels are looked at one by one, are as small as that."""
_LARGEST = 16383
"""The longest side that WebP has."""


@dataclass(frozen=True)
class Version:
    """One version of an image as the page links it; None where there is no such file, or it cannot be read."""

    file: str | None
    thumbnail: str | None
    preview: bool = False
    """Whether ``file`` is a preview, whose pixels are not those of the image."""


@dataclass(frozen=True)
class CopiedImage:
    """All versions of one image."""

    lr: Version
    hr: Version
    outputs: tuple[Version, ...]
    """One a label."""
    unreadable: tuple[str, ...]
    """Files that exist but are not images."""

    @property
    def links(self) -> list[str]:
        """Return every file that the page links, relative to it."""
        return list(dict.fromkeys(link for v in self.versions for link in (v.file, v.thumbnail) if link))

    @property
    def versions(self) -> tuple[Version, ...]:
        """Return all versions."""
        return (self.lr, self.hr, *self.outputs)


def copy_images(aligned: AlignedRuns, page_folder: Path, name: str, *, originals: bool = False) -> list[CopiedImage]:
    """Write LR, HR and outputs of every image below ``page_folder/images/name``, with thumbnails.

    Copies, not hard links: whoever edits the published page would change the dataset or the run through a link.

    Args:
        aligned: The runs.
        page_folder: The report's folder.
        name: Of the set.
        originals: Copy the files; else larger ones become WebP previews.
    """
    folder = page_folder / "images" / name

    def copy(entry: tuple[int, Any]) -> CopiedImage:
        number, image = entry
        stem = f"{number:05d}-{re.sub(r'[^A-Za-z0-9._-]+', '_', str(image))[:60]}"
        facts = aligned.images.loc[image]
        outputs = [aligned.outputs.loc[image, label] for label in aligned.labels]
        sources = [facts["lr_path"], facts["hr_path"], *outputs]
        kinds = ["lr", "hr", *(f"m{i}" for i in range(len(outputs)))]
        size = next(filter(None, map(_size, outputs)), None)
        made = [
            _version(s, folder, kind, stem, page_folder, size if kind == "hr" else None, originals)
            for s, kind in zip(sources, kinds, strict=True)
        ]
        lr, hr, *restored = [version for version, _ in made]
        return CopiedImage(lr, hr, tuple(restored), tuple(bad for _, bad in made if bad))

    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(copy, enumerate(aligned.images.index)))


def copied_files(copied: Sequence[CopiedImage], page_folder: Path) -> list[Path]:
    """Return the paths of all files of ``copied``."""
    return [page_folder / link for one in copied for link in one.links]


def _version(
    source: Any, folder: Path, kind: str, stem: str, page_folder: Path, size: tuple[int, int] | None, originals: bool
) -> tuple[Version, str]:
    """Return one version, and its path if it cannot be read.

    Of an HR image that is larger than the restored ones, as a set may cut (``Card.hr_crop``), only ``size`` is shown.
    """
    if not isinstance(source, str) or not Path(source).is_file():
        return Version(None, None), ""
    try:
        cut = None if size is None else _cut(Path(source), size)
        small, preview = _reduced(Path(source), cut, originals)
    except UserError:
        return Version(None, None), source
    suffix = ".webp" if preview else Path(source).suffix.lower() if cut is None else ".png"
    target = folder / kind / f"{stem}{suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    # An earlier report may have linked the file: writing into a link would write into what it links.
    target.unlink(missing_ok=True)
    if preview:
        target.write_bytes(preview)
    elif cut is None:
        shutil.copyfile(source, target)
    else:
        write_png(target, cut)
    link = target.relative_to(page_folder).as_posix()
    if small is None:
        return Version(link, link, bool(preview)), ""
    thumbnail = folder / "thumbs" / kind / f"{stem}.jpg"
    thumbnail.parent.mkdir(parents=True, exist_ok=True)
    small.save(thumbnail, quality=82, icc_profile=_profile(small))
    return Version(link, thumbnail.relative_to(page_folder).as_posix(), bool(preview)), ""


def _size(output: Any) -> tuple[int, int] | None:
    """Return (height, width) of a restored image; None where there is none, or it cannot be read."""
    if not isinstance(output, str) or not Path(output).is_file():
        return None
    try:
        return read_size(Path(output))
    except UserError:
        return None


def _cut(source: Path, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """Return the part of an HR image that restored images show; None where that is the whole."""
    if read_size(source) == size:
        return None
    pixels = read_rgb(source)
    return cut_to(pixels, size) if pixels.shape[0] >= size[0] and pixels.shape[1] >= size[1] else None


def _reduced(source: Path, cut: NDArray[np.uint8] | None, originals: bool) -> tuple[Image.Image | None, bytes]:
    """Return a thumbnail, None where the image is small itself, and a WebP preview, empty where the file is shown.

    Reads the file to its end either way.
    """
    with opened(source) as opened_image:
        image = opened_image if cut is None else Image.fromarray(cut)
        wide = max(image.size)
        if wide <= _THUMBNAIL and (originals or source.stat().st_size <= _SMALL):
            image.load()
            return None, b""
        plain = image.convert("RGB")
        preview = b"" if originals or wide > _LARGEST or source.stat().st_size <= _SMALL else _preview(plain)
        if len(preview) >= source.stat().st_size:
            preview = b""
        if wide <= _THUMBNAIL:
            return None, preview
        plain.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=2)
    return plain, preview


def _preview(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=2, icc_profile=_profile(image))
    return file.getvalue()


def _profile(image: Image.Image) -> bytes | None:
    """Return the colour profile that belongs to RGB pixels."""
    profile = profile_of(image)
    return profile if profile is not None and is_for(profile, "RGB") else None
