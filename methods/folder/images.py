"""A folder of restored PNGs as a method."""

from __future__ import annotations

import logging
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, some
from isrbench.harness.imaging.images import read_notes, read_rgb, read_size, tell_notes, to_tensor
from isrbench.harness.imaging.listing import list_images
from isrbench.methods.folder.options import FolderOptions

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

_LOOKED = 100
"""Results of no image that are looked through for a misspelled name, for each of thousands of images."""
_WHOLE_NUMBER = re.compile(r"(?<!\d)|(?!\d)")
"""Matches between any two letters but two digits."""


class Folder:
    """Restored images by the name of their LR image (a ``Method`` that ``Prepares``).

    A file belongs to one image: of several whose name begins the file's, to that with the longest. Where ``*`` follows
    a name, no digit stands behind its last digit: ``10_x4.png`` does not belong to ``1``, whatever the set holds.

    Args:
        images: Folder of 8-bit RGB PNGs.
        suffix: Between the image's name and ``.png``; ``*`` stands for anything.
        scale: Upscaling factor that the images must have.
        ids: All images of the set; of an image that is none of them nothing can be said about longer names.

    Raises:
        UserError: If this is not a folder, it holds no PNG, or two names differ only in the case of ``.png``.
    """

    untimed = "the images were made elsewhere"
    weights_hash = ""

    def __init__(self, images: Path, suffix: str, scale: int, ids: Collection[str] = ()) -> None:
        if not images.is_dir():
            raise UserError(f"option 'images': {images} is not a folder", "give the folder: -o images=DIR")
        self._folder, self._suffix, self._scale = images, suffix, scale
        self._files: dict[str, Path] = {}
        # Sub-folders only where the set has them: beside its results a folder may hold others'.
        listed = list_images(images, recursive=any("/" in id for id in ids))
        for path in listed:
            if path.suffix.lower() != ".png":
                continue
            stem = unicodedata.normalize("NFC", path.relative_to(images).with_suffix("").as_posix())
            if stem in self._files:
                raise UserError(f"{self._files[stem]} and {path} have the same name", "remove one of the two")
            self._files[stem] = path
        if not self._files:
            others = ", ".join(sorted({p.suffix for p in listed}))
            found = f" (but images ending in {others})" if others else ""
            raise UserError(f"{images} holds no PNG{found}", "save the restored images as PNG, which loses nothing")
        self._ids = frozenset(ids)
        # Sorted: what begins with a name stands together, and is found without a look at thousands of others.
        self._stems, self._sorted_ids = sorted(self._files), sorted(self._ids)
        self._no_pngs = sorted(path.name for path in listed if path.suffix.lower() != ".png")
        # Anything may follow a name, but no number is cut in two: 10_x4.png is not what * finds for 1.
        start = f"(?:{_WHOLE_NUMBER.pattern})" if suffix.startswith("*") else ""
        self._rest = re.compile(start + ".*".join(map(re.escape, suffix.split("*"))))
        self._owned: dict[str, list[str]] = {}
        for stem in self._files:
            self._owned.setdefault(self._owner(stem, self._ids), []).append(stem)
        self._strangers = sorted(self._owned.get("", ()))

    def prepare(self, images: Sequence[tuple[str, Path]]) -> None:
        """Warn about files that belong to no image of the set, are PNGs but by name, or are the LR images."""
        if self._strangers:
            shown = some([f"{stem}.png" for stem in self._strangers])
            log.warning("%s: results of no image here are passed over: %s", self._folder, shown)
        noted, sizes, as_lr = {}, set(), 0
        for image, lr in images:
            with suppress(UserError):
                noted[self._path(image)] = read_notes(self._path(image))
                size = read_size(self._path(image))
                sizes.add(size)
                as_lr += size == read_size(lr)
        tell_notes(noted.items())
        if self._scale > 1 and images and as_lr == len(images):
            what = "1 is" if as_lr == 1 else f"all {as_lr} are"
            height, width = next(iter(sizes))
            told = f"{what} {width}x{height}" if len(sizes) == 1 else f"{what} as large as the LR images"
            log.warning("%s: %s: is this the LR folder?", self._folder, told)

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Read the image's own file.

        Raises:
            UserError: If there is none, more than one, or it is damaged or of the wrong size.
        """
        path = self._path(image)
        pixels = read_rgb(path)
        expected = (lr.shape[1] * self._scale, lr.shape[2] * self._scale)
        if pixels.shape[:2] != expected:
            raise UserError(
                f"{path} is {pixels.shape[1]}x{pixels.shape[0]}, "
                f"but {image} x{self._scale} is {expected[1]}x{expected[0]}",
                "restore it again at the set's scale and without cropping",
            )
        return Restored(to_tensor(pixels))

    def cost(self, height: int, width: int) -> Cost:
        """Return an unknown cost: the images were made elsewhere."""
        return Cost(macs=None, params_total=None)

    def input_hash(self, image: str) -> str:
        """Return the hash of the image's own file.

        Raises:
            UserError: If there is none, or more than one.
        """
        return file_hash(self._path(image))

    def _path(self, image: str) -> Path:
        found = self._candidates(image)
        if not found:
            begun = _beginning(self._stems, image) if "*" in self._suffix else ()
            owners = ((stem, self._owner(stem, self._ids)) for stem in begun)
            another = next((f": {stem}.png is that of {owner}" for stem, owner in owners if owner), "")
            raise UserError(f"{self._folder} holds no {image}{self._suffix}.png{another}", self._fix(image))
        if len(found) > 1:
            raise UserError(
                f"{image}{self._suffix}.png matches {len(found)} files in {self._folder}: {', '.join(found[:4])}",
                "give a suffix that matches only one",
            )
        return self._files[found[0]]

    def _fix(self, image: str) -> str:
        """Say how an image that has no file may get one."""
        longer = tuple(id for id in _beginning(self._sorted_ids, image) if id != image)
        others = [
            stem
            for stem in _beginning(self._stems, image)
            if _WHOLE_NUMBER.match(stem, len(image)) and not (longer and stem.startswith(longer))
        ]
        if others:
            return f"-o 'suffix={others[0].removeprefix(image)}' would take {others[0]}.png"
        no_pngs = _beginning(self._no_pngs, image)
        if no_pngs:
            return f"save {no_pngs[0]} as PNG: results are read from PNGs, which lose nothing"
        name = f"{image}{self._suffix.replace('*', '')}.png"
        spelled = rf"(?<!\d){re.escape(image)}(?!\d)"
        other = next((s for s in self._strangers[:_LOOKED] if re.search(spelled, s, re.IGNORECASE)), None)
        if other is not None:
            return (
                f"if {other}.png is its result, rename it {name}: the image's name comes first, spelled as the LR's is"
            )
        return f"save the result of {image} there as {name}"

    def _candidates(self, image: str) -> list[str]:
        """Return the stems of the files that belong to an image."""
        if image in self._ids:
            return self._owned.get(image, [])
        return [stem for stem in _beginning(self._stems, image) if self._owner(stem, self._ids, image) == image]

    def _owner(self, stem: str, ids: Set[str], further: str = "") -> str:
        """Return the longest of ``ids`` and ``further`` that begins ``stem`` and leaves the suffix; "" for none."""
        for end in range(len(stem), 0, -1):
            start = stem[:end]
            if (start in ids or start == further) and self._rest.fullmatch(stem, end):
                return start
        return ""


def _beginning(names: Sequence[str], start: str) -> Sequence[str]:
    """Return those of sorted names that begin with ``start``."""
    return names[bisect_left(names, start) : bisect_left(names, f"{start}\U0010ffff")]


def build(options: FolderOptions, runtime: Runtime) -> Folder:
    """Build the method.

    Raises:
        UserError: As :class:`Folder`.
    """
    return Folder(options.images, options.suffix, runtime.scale, runtime.images)
