"""A folder of restored PNGs as a method."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.method import Cost, Restored, Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, list_images
from isrbench.harness.imaging.images import read_rgb, to_tensor
from isrbench.methods.folder.options import FolderOptions

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


class Folder:
    """Restored images by the name of their LR image (a ``Method`` that ``Prepares``).

    Args:
        images: Folder of 8-bit RGB PNGs.
        suffix: Between the image's name and ``.png``; ``*`` stands for anything.
        scale: Upscaling factor that the images must have.

    Raises:
        UserError: If this is not a folder, it holds no PNG, or two names differ only in the case of ``.png``.
    """

    untimed = "the images were made elsewhere"
    weights_hash = ""

    def __init__(self, images: Path, suffix: str, scale: int) -> None:
        if not images.is_dir():
            raise UserError(f"option 'images': {images} is not a folder", "give the folder: -o images=DIR")
        self._folder, self._suffix, self._scale = images, suffix, scale
        self._files: dict[str, Path] = {}
        for path in list_images(images):
            if path.suffix.lower() != ".png":
                continue
            if path.stem in self._files:
                raise UserError(f"{self._files[path.stem]} and {path} have the same name", "remove one of the two")
            self._files[path.stem] = path
        if not self._files:
            others = ", ".join(sorted({p.suffix for p in list_images(images)}))
            found = f" (but images ending in {others})" if others else ""
            raise UserError(f"{images} holds no PNG{found}", "save the restored images as PNG, which loses nothing")

    def prepare(self, images: Sequence[tuple[str, Path]]) -> None:
        """Warn about files that belong to no image of the set.

        The set is taken to be the given images and all that lie beside them: under ``--limit`` the other images of the
        set are known, too.
        """
        names = {image for image, _ in images}
        for folder in {lr.parent for _, lr in images}:
            names.update(path.stem for path in list_images(folder))
        taken = {stem for name in names for stem in self._candidates(name)}
        extra = sorted(self._files.keys() - taken)
        if extra:
            shown = ", ".join(f"{stem}.png" for stem in extra[:3]) + (", ..." if len(extra) > 3 else "")
            log.warning("%d PNGs in %s belong to no image of the set: %s", len(extra), self._folder, shown)

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
            others = [stem for stem in self._files if stem.startswith(image)]
            example = others[0].removeprefix(image) if others else ""
            fix = f"-o 'suffix={example}' would take {others[0]}.png" if others else f"make {image}{self._suffix}.png"
            raise UserError(f"{self._folder} holds no {image}{self._suffix}.png", fix)
        if len(found) > 1:
            raise UserError(
                f"{image}{self._suffix}.png matches {len(found)} files in {self._folder}: {', '.join(found[:4])}",
                "give a suffix that matches only one",
            )
        return self._files[found[0]]

    def _candidates(self, image: str) -> list[str]:
        """Return the stems of the files that match the image's name and the suffix."""
        if "*" not in self._suffix:
            return [s for s in (image + self._suffix,) if s in self._files]
        pattern = re.compile(re.escape(image) + ".*".join(map(re.escape, self._suffix.split("*"))))
        return [stem for stem in self._files if pattern.fullmatch(stem)]


def build(options: FolderOptions, runtime: Runtime) -> Folder:
    """Build the method.

    Raises:
        UserError: As :class:`Folder`.
    """
    return Folder(options.images, options.suffix, runtime.scale)
