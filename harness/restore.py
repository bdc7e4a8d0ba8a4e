"""Restoring a user's own pictures with any method: no dataset, no scores, no store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.images import SUFFIXES, image_files, read_photo, to_pixels, to_tensor, write_png
from harness.method import Method, Prepares, Restored
from harness.plan import image_seed

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


def restore_one(method: Method, lr: Tensor, image: str, seed: int, scale: int) -> Restored:
    """Run a method on one image and hold it to its contract.

    Args:
        method: Ready to run.
        lr: float32 (3, H, W) in [0, 1].
        image: The image's id.
        seed: The run's seed; the image's own comes from it and the id.
        scale: Upscaling factor.

    Raises:
        TypeError: If the method returns something else than a ``Restored`` with a tensor.
        ValueError: If the image is not (3, scale*H, scale*W) or not finite.
    """
    import torch

    restored = method.restore(lr, image=image, seed=image_seed(seed, image))
    if not isinstance(restored, Restored) or not isinstance(restored.image, torch.Tensor):
        raise TypeError(f"restore must return a Restored with a tensor, not {type(restored).__name__}")
    expected = (3, lr.shape[1] * scale, lr.shape[2] * scale)
    if tuple(restored.image.shape) != expected:
        raise ValueError(f"restore returned shape {tuple(restored.image.shape)}, not {expected}")
    finite = torch.isfinite(restored.image)
    if not finite.all():
        raise ValueError(f"restore returned {int((~finite).sum())} values that are not finite")
    return restored


def restore_files(
    method: Method,
    source: Path,
    target: Path,
    *,
    scale: int,
    seed: int,
    overwrite: bool,
    progress: Callable[[str, int, int], None],
) -> tuple[list[Path], list[Path]]:
    """Restore one picture, or every picture of a folder, into PNGs.

    Args:
        method: Ready to run.
        source: A picture or a folder.
        target: For a picture the PNG to write (or a folder to write it in); for a folder the folder to write in.
        scale: Upscaling factor.
        seed: The run's seed; each picture gets its own from it.
        overwrite: Whether an existing target may be replaced.
        progress: Told after every picture.

    Returns:
        (written, failed) paths: the PNGs, and the pictures that could not be restored.

    Raises:
        UserError: If there is nothing to restore, or a target exists already.
    """
    jobs = _jobs(source, target)
    for _, png in jobs:
        if png.exists() and not overwrite:
            raise UserError(f"{png} exists already", "choose another place, or allow it with --overwrite")
    if isinstance(method, Prepares):
        method.prepare([(picture.stem, picture) for picture, _ in jobs])
    written, failed = [], []
    for done, (picture, png) in enumerate(jobs, 1):
        try:
            restored = restore_one(method, to_tensor(read_photo(picture)), picture.stem, seed, scale)
            png.parent.mkdir(parents=True, exist_ok=True)
            write_png(png, to_pixels(restored.image))
            written.append(png)
        except UserError as error:
            if len(jobs) == 1:
                raise
            log.warning("%s", error)
            failed.append(picture)
        except Exception:
            log.exception("%s could not be restored", picture)
            failed.append(picture)
        progress("restore", done, len(jobs))
    return written, failed


def _jobs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if source.is_dir():
        pictures = image_files(source)
        if not pictures:
            raise UserError(f"{source} holds no pictures", f"endings that count: {', '.join(sorted(SUFFIXES))}")
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
