"""Restoring a user's own images with any method: no dataset, no scores, no store."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, overload

import numpy as np
from PIL import Image

from isrbench.harness.api.method import Method, PreparedInPart, Runtime
from isrbench.harness.api.options import read_options
from isrbench.harness.api.records import Failure
from isrbench.harness.api.registry import methods
from isrbench.harness.determinism import make_deterministic, resolve_device
from isrbench.harness.engine.arguments import Progress, ProgressOption, option_texts, reporting
from isrbench.harness.engine.jobs import prepare
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.errors import UserError
from isrbench.harness.files import check_file, is_full, takes_nothing
from isrbench.harness.imaging.images import tell_notes, write_png
from isrbench.harness.imaging.listing import list_images
from isrbench.harness.imaging.photos import Photo, open_photo, photo_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ImageLike = Union[str, Path, "Image.Image", "NDArray[np.uint8]"]
"""An image file, a PIL image, or uint8 (H, W, 3) RGB."""


@dataclass(frozen=True)
class RestoredFiles:
    """What came of image files."""

    written: tuple[Path, ...]
    """The PNGs, in order of their sources."""
    failed: dict[Path, Failure]
    """Why each source that has no PNG has none."""


@overload
def restore(
    images: ImageLike,
    method: str,
    *,
    to: None = None,
    options: Mapping[str, Any] | None = None,
    scale: int = 4,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = None,
) -> NDArray[np.uint8]: ...


@overload
def restore(
    images: Sequence[ImageLike],
    method: str,
    *,
    to: None = None,
    options: Mapping[str, Any] | None = None,
    scale: int = 4,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = None,
) -> list[NDArray[np.uint8]]: ...


@overload
def restore(
    images: str | Path | Sequence[str | Path],
    method: str,
    *,
    to: str | Path,
    options: Mapping[str, Any] | None = None,
    scale: int = 4,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressOption = None,
) -> RestoredFiles: ...


def restore(
    images: Any,
    method: str,
    *,
    to: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    scale: int = 4,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: ProgressOption = None,
) -> Any:
    """Restore images in memory, or image files into PNGs.

    Args:
        images: One image or a sequence of them: files, PIL images, or uint8 (H, W, 3) RGB arrays. With ``to``: a file,
            a folder, or a sequence of files.
        method: A method's id (see ``list_methods()``), or a model card (.toml).
        to: Where to write: for one file the PNG, or a folder to write it in; for several a folder. None = return
            arrays and write nothing.
        options: The method's options by name, as values or as texts.
        scale: How many times larger.
        seed: An image's own seed comes from this and its name: a file's stem, or the place in the sequence.
        device: ``auto``, or a torch device.
        overwrite: Whether files that are there already may be replaced.
        progress: A callback ``(stage, done, total)``, or True for a progress bar.

    Returns:
        Without ``to`` a uint8 (scale*H, scale*W, 3) array for one image, a list of arrays for a sequence. With ``to``
        the :class:`RestoredFiles`; one image of several that fails is listed there and the others go on.

    Raises:
        UserError: If there is nothing to restore, a target exists already, or method, options or image do not fit.
    """
    one = isinstance(images, str) or not isinstance(images, Sequence)
    wanted = [images] if one else list(images)
    if not isinstance(scale, int) or scale < 1:  # Python code may pass any number
        raise UserError(f"the scale is {scale}, but has to be a whole number, at least 1", "--scale 4")
    if to is not None:
        jobs = _jobs(wanted, Path(to), one)
        if not overwrite:
            _check_free(jobs)
        with reporting(progress) as tell:
            return _restore_files(_build(method, options, scale, device), method, jobs, seed, scale, tell)
    named = [_read(image, place) for place, image in enumerate(wanted)]
    with reporting(progress) as tell:
        arrays = _restore_arrays(_build(method, options, scale, device), named, seed, scale, tell)
    return arrays[0] if one else arrays


def _build(method: str, options: Mapping[str, Any] | None, scale: int, device: str) -> Method:
    plugin = methods().get(method)
    runtime = Runtime(scale=scale, device=resolve_device(device))
    built = plugin.make(read_options(plugin, option_texts(options)), runtime)
    make_deterministic(runtime.device)
    return built


def _read(image: Any, place: int) -> tuple[str, NDArray[np.uint8]]:
    """(name, pixels) of an image; one that has no file is named by its place."""
    if isinstance(image, str | Path):
        path = Path(image)
        if path.is_dir():
            raise UserError(f"{path} is a folder, whose images are restored into files", 'say where to: to="restored/"')
        return path.stem, _without_profile(open_photo(path), path)
    if isinstance(image, Image.Image):
        file = getattr(image, "filename", "")
        name = Path(file).stem if file else str(place)
        return name, _without_profile(
            photo_of(image, f"image {name}", "convert it first: image.convert('RGB')"), f"image {name}"
        )
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        shown = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(
            f"image {place} is {shown}; a file, a PIL image or a uint8 (H, W, 3) array is wanted",
            "for floats in [0, 1]: (array * 255).round().astype('uint8')",
        )
    return str(place), image


def _without_profile(photo: Photo, name: object) -> NDArray[np.uint8]:
    """Return a photo's pixels, for an array that has no place for a profile."""
    tell_notes([(name, (*photo.notes, *photo.profile_left_out))])
    return photo.pixels


def _restore_arrays(
    method: Method, named: Sequence[tuple[str, NDArray[np.uint8]]], seed: int, scale: int, progress: Progress
) -> list[NDArray[np.uint8]]:
    arrays = []
    for name, pixels in named:
        arrays.append(restore_pixels(method, pixels, name, seed, scale)[0])
        progress("restore", len(arrays), len(named))
    return arrays


def _restore_files(
    method: Method, name: str, jobs: Sequence[tuple[Path, Path]], seed: int, scale: int, progress: Progress
) -> RestoredFiles:
    stopped: PreparedInPart | None = None
    try:
        prepare(method, name, [(source.stem, source) for source, _ in jobs])
    except PreparedInPart as stop:
        stopped, jobs = stop, [job for job in jobs if job[0].stem in stop.images]
    written: list[Path] = []
    failed: dict[Path, Failure] = {}
    notes: dict[Path, tuple[str, ...]] = {}
    for done, (source, png) in enumerate(jobs, 1):
        try:
            photo = open_photo(source)
            notes[source] = photo.notes
            pixels, _ = restore_pixels(method, photo.pixels, source.stem, seed, scale)
        except UserError as error:
            if len(jobs) == 1:
                raise
            failed[source] = Failure.of(error)
        except Exception as error:
            failed[source] = Failure.of(error)
        else:
            failure = _write(png, pixels, photo.profile, alone=len(jobs) == 1)
            if failure is None:
                written.append(png)
            else:
                failed[source] = failure
        progress("restore", done, len(jobs))
    tell_notes(notes.items())
    if stopped is not None:
        raise stopped
    return RestoredFiles(tuple(written), failed)


def _write(png: Path, pixels: NDArray[np.uint8], profile: bytes | None, alone: bool) -> Failure | None:
    """Write a PNG; a place that takes none takes no other either, so its refusal ends the work.

    Returns:
        Why this one of several cannot be written, or None.

    Raises:
        UserError: If the place takes none, or the only PNG cannot be written.
    """
    this = False
    try:
        png.parent.mkdir(parents=True, exist_ok=True)
        this = True
        write_png(png, pixels, profile=profile)
    except OSError as error:
        fix = (
            "make room, then go on with the images that are left"
            if is_full(error)
            else "choose a place that can be written"
        )
        refusal = UserError(f"{png} cannot be written: {error.strerror or error}", fix)
        if this and not alone and not takes_nothing(error):
            return Failure.of(refusal)
        raise refusal from error
    return None


def _jobs(wanted: Sequence[Any], target: Path, one: bool) -> list[tuple[Path, Path]]:
    """(source file, PNG to write) of every image.

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
            return [(sources[0], _png_of(sources[0], target))]
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


def _check_free(jobs: Sequence[tuple[Path, Path]]) -> None:
    taken = next((png for _, png in jobs if os.path.lexists(png)), None)
    if taken is not None:
        raise UserError(f"{taken} exists already", "choose another place, or allow it with --overwrite")


def _png_of(source: Path, target: Path) -> Path:
    check_file(source, "give an image file, or a folder of them")
    if target.is_dir() or not target.suffix:
        return target / f"{source.stem}.png"
    if target.suffix.lower() != ".png":
        raise UserError(f"{target}: restored images are written as PNG", f"name it {target.with_suffix('.png')}")
    return target
