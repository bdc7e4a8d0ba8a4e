"""Restoring a user's own images with any method: no dataset, no scores, no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Union, overload

import numpy as np
from PIL import Image

from isrbench.harness.api.method import PreparedInPart
from isrbench.harness.api.records import Failure
from isrbench.harness.api.registry import Registry
from isrbench.harness.api.steps import steps
from isrbench.harness.engine.arguments import Progress, ProgressOption, reporting
from isrbench.harness.engine.enlarging import (
    Enlarger,
    count_picture_tiles,
    enlarge,
    enlarge_alpha,
    make_enlarger,
    size_of,
)
from isrbench.harness.engine.preparing import prepare
from isrbench.harness.engine.restore_jobs import Job, check_free, find_jobs
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full, takes_nothing
from isrbench.harness.imaging.images import tell_notes
from isrbench.harness.imaging.pictures import Picture, picture_of, read_picture
from isrbench.harness.imaging.writing import check_fits, write_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

ImageLike = Union[str, Path, "Image.Image", "NDArray[np.uint8]"]
"""An image file, a PIL image, or uint8 (H, W, 3) RGB."""


@dataclass(frozen=True)
class RestoredFiles:
    """What came of image files."""

    written: tuple[Path, ...]
    """The files, in order of their sources."""
    failed: dict[Path, Failure]
    """Why each source that was not restored was not."""


@overload
def restore(
    images: ImageLike,
    method: str | None = None,
    *,
    to: None = None,
    options: Mapping[str, Any] | None = None,
    scale: float = 4,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = None,
) -> NDArray[np.uint8]: ...


@overload
def restore(
    images: Sequence[ImageLike],
    method: str | None = None,
    *,
    to: None = None,
    options: Mapping[str, Any] | None = None,
    scale: float = 4,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = None,
) -> list[NDArray[np.uint8]]: ...


@overload
def restore(
    images: str | Path | Sequence[str | Path],
    method: str | None = None,
    *,
    to: str | Path,
    options: Mapping[str, Any] | None = None,
    scale: float = 4,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressOption = None,
) -> RestoredFiles: ...


def restore(
    images: Any,
    method: str | None = None,
    *,
    to: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    scale: float = 4,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressOption = None,
) -> Any:
    """Restore images in memory, or image files into files.

    Args:
        images: One image or a sequence of them: files, PIL images, or uint8 (H, W, 3) RGB arrays. With ``to``: a file,
            a folder, or a sequence of files.
        method: A method's id (see ``list_methods()``), or a model card (.toml). None = the best one for photos whose
            weights are on this machine (:func:`default_method`).
        to: Where to write: for one file a PNG, JPEG, WebP or TIFF by its name's ending, or a folder; for several a
            folder, which gets PNGs. Files keep transparency, colour profile and EXIF. None = return arrays and write
            nothing.
        options: The method's options by name, as values or as texts.
        scale: How many times larger, above 0. Of a method that enlarges by another factor the result is resized.
        seed: An image's own seed comes from this and its name: a file's stem, or the place in the sequence.
        device: ``auto``, or a torch device.
        overwrite: Whether files that are there already may be replaced; never those that are read.
        progress: A callback ``(stage, done, total)``, or True for a progress bar.

    Returns:
        Without ``to`` a uint8 (scale*H, scale*W, 3) array for one image, a list of arrays for a sequence. With ``to``
        the :class:`RestoredFiles`; one image of several that fails is listed there and the others go on.

    Raises:
        UserError: If there is nothing to restore, a target exists already, or method, options or image do not fit.
    """
    one = isinstance(images, str) or not isinstance(images, Sequence)
    wanted = [images] if one else list(images)
    jobs = None if to is None else find_jobs(wanted, Path(to), one)
    if jobs is not None:
        check_free(jobs, overwrite)
    named = [_read(image, place) for place, image in enumerate(wanted)] if jobs is None else []
    method = default_method() if method is None else method
    with reporting(progress) as tell:
        images = [source.stem for source, _ in jobs] if jobs is not None else [name for name, _ in named]
        enlarger = make_enlarger(method, options, scale=scale, seed=seed, device=device, images=images)
        if jobs is not None:
            return _restore_files(enlarger, jobs, tell)
        arrays = _restore_arrays(enlarger, named, tell)
    return arrays[0] if one else arrays


def default_method() -> str:
    """Return the id of the best method for photos whose weights are on this machine, and say which one it is.

    Who knows methods says so: the entry point ``default`` in the group ``isrbench.photo_methods`` is a function that
    returns (id, why).

    Raises:
        UserError: If nothing is installed there.
    """
    known: Registry[FunctionType] = Registry.from_entry_points("choice", FunctionType, "isrbench.photo_methods")
    if "default" not in known:
        raise UserError("no method is named, and none is installed as the default", "--method bicubic")
    method, why = known.get("default")()
    steps.info("method %s: %s; --method names another", method, why)
    return method


def _read(image: Any, place: int) -> tuple[str, NDArray[np.uint8]]:
    """(name, pixels) of an image; one that has no file is named by its place."""
    if isinstance(image, str | Path):
        path = Path(image)
        if path.is_dir():
            raise UserError(f"{path} is a folder, whose images are restored into files", 'say where to: to="restored/"')
        return path.stem, _colours_alone(read_picture(path), str(path))
    if isinstance(image, Image.Image):
        file = getattr(image, "filename", "")
        name = Path(file).stem if file else str(place)
        return name, _colours_alone(picture_of(image, f"image {name}"), f"image {name}")
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        shown = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(
            f"image {place} is {shown}; a file, a PIL image or a uint8 (H, W, 3) array is wanted",
            "for floats in [0, 1]: (array * 255).round().astype('uint8')",
        )
    return str(place), image


def _colours_alone(picture: Picture, name: str) -> NDArray[np.uint8]:
    """Return a picture's pixels, for an array that has no place for a profile, and none for transparency."""
    if picture.alpha is not None:
        raise UserError(
            f"{name} has transparent parts, and an array has no place for them",
            'write a file: to="restored.png"; or convert it first: image.convert("RGB")',
        )
    tell_notes([(name, (*picture.notes, *picture.profile_left_out))])
    return picture.pixels


def _restore_arrays(
    enlarger: Enlarger, named: Sequence[tuple[str, NDArray[np.uint8]]], progress: Progress
) -> list[NDArray[np.uint8]]:
    arrays = []
    for name, pixels in named:
        arrays.append(_enlarged(enlarger, pixels, name, progress))
        progress("restore", len(arrays), len(named))
    return arrays


def _enlarged(enlarger: Enlarger, pixels: NDArray[np.uint8], name: str, progress: Progress) -> NDArray[np.uint8]:
    """Restore one picture; its tiles are told where there are several."""
    tiles = count_picture_tiles(enlarger, *pixels.shape[:2])
    if tiles == 1:
        return enlarge(enlarger, pixels, name)
    progress("tile", 0, tiles)
    return enlarge(enlarger, pixels, name, lambda done, all_: progress("tile", done, all_))


def _restore_files(enlarger: Enlarger, jobs: Sequence[Job], progress: Progress) -> RestoredFiles:
    stopped: PreparedInPart | None = None
    try:
        prepare(enlarger.method, enlarger.id, [(source.stem, source) for source, _ in jobs])
    except PreparedInPart as stop:
        stopped, jobs = stop, [job for job in jobs if job[0].stem in stop.images]
    many = len(jobs) != 1
    steps.info("restoring %s on %s", f"{len(jobs)} pictures" if many else jobs[0][0].name, enlarger.device)
    written: list[Path] = []
    failed: dict[Path, Failure] = {}
    notes: dict[Path, tuple[str, ...]] = {}
    for done, (source, target) in enumerate(jobs, 1):
        try:
            picture = read_picture(source)
            notes[source] = picture.notes
            failure = _restore_file(enlarger, picture, source.stem, target, progress, alone=not many)
        except _NoPlaceError as stop:
            raise stop.refusal from stop.__cause__
        except UserError as error:
            if not many:
                raise
            failure = Failure.of(error)
        except Exception as error:
            failure = Failure.of(error)
        if failure is None:
            written.append(target)
        else:
            failed[source] = failure
        progress("restore", done, len(jobs))
    tell_notes(notes.items())
    if stopped is not None:
        raise stopped
    return RestoredFiles(tuple(written), failed)


def _restore_file(
    enlarger: Enlarger, picture: Picture, name: str, target: Path, progress: Progress, *, alone: bool
) -> Failure | None:
    """Restore one picture into a file; return why it cannot be written, if so."""
    size = size_of(enlarger, *picture.size)
    check_fits(target, *size, picture.alpha is not None)
    pixels = _enlarged(enlarger, picture.pixels, name, progress)
    alpha = None if picture.alpha is None else enlarge_alpha(picture.alpha, size)
    return _write(target, picture, pixels, alpha, alone)


class _NoPlaceError(Exception):
    """A place that takes no file, told apart from what goes wrong with one picture."""

    def __init__(self, refusal: UserError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _write(
    target: Path, picture: Picture, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, alone: bool
) -> Failure | None:
    """Write a restored picture; a place that takes none takes no other either, so its refusal ends the work.

    Returns:
        Why this one of several cannot be written, or None.

    Raises:
        _NoPlaceError: If the place takes none, or the only picture cannot be written.
    """
    this = False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        this = True
        write_picture(target, pixels, alpha=alpha, profile=picture.profile, exif=picture.exif)
    except OSError as error:
        fix = (
            "make room, then go on with the images that are left"
            if is_full(error)
            else "choose a place that can be written"
        )
        refusal = UserError(f"{target} cannot be written: {error.strerror or error}", fix)
        if this and not alone and not takes_nothing(error):
            return Failure.of(refusal)
        raise _NoPlaceError(refusal) from error
    return None
