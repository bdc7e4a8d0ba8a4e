"""An external program as a method."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isrbench.harness.api.method import Cost, PreparedInPart, Restored, Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, is_there, some
from isrbench.harness.imaging.images import read_noted, read_rgb, to_pixels, to_tensor, write_png
from isrbench.methods.command.options import CommandOptions
from isrbench.methods.command.process import arguments, call, split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

log = logging.getLogger(__name__)

_LONGEST = 1e9
"""Seconds that are waited for a call at most: no system's clock counts much further."""


class Program:
    """Calls a program on PNGs in a temporary folder (a ``Method`` that ``Prepares``).

    Input and output are named after the image, so a program that looks at names sees the same ones every time.

    Args:
        options: The command and its limits.
        scale: Upscaling factor, for ``{scale}`` and the check of sizes.

    Raises:
        UserError: If the program is not found.
    """

    untimed = "it would time the start of a program, not the network inside"

    def __init__(self, options: CommandOptions, scale: int) -> None:
        self._options, self._scale = options, scale
        words = split_words(options.command)
        if not options.shell and shutil.which(words[0]) is None:
            raise UserError(
                f"option 'command': the program '{words[0]}' was not found", "give its full path, or install it"
            )
        self.weights_hash = _hash_of_files(words, options.depends_on)
        self._batch: tempfile.TemporaryDirectory[str] | None = None
        self._inputs: dict[str, NDArray[np.uint8]] = {}
        self._failure: UserError | None = None
        self._noted: set[str] = set()

    def prepare(self, images: Sequence[tuple[str, Path]]) -> None:
        """Restore all images now where one call takes a folder.

        Of a program that fails, takes too long or is interrupted the images that it finished are kept: those that are
        whole and of the right size.

        Raises:
            PreparedInPart: On an interruption.
        """
        if not self._options.by_folder:
            return
        self._inputs, self._failure = {}, None
        for image, path in images:
            try:
                self._inputs[image] = read_rgb(path)
            except UserError:
                continue  # the engine reads this image later, and reports the same error
        self._batch = tempfile.TemporaryDirectory(prefix="isrbench-command-")
        try:
            self._run_folder(Path(self._batch.name), self._inputs)
        except UserError as error:
            self._failure = error
            log.warning("%d of %d images are finished, but %s", len(self._finished()), len(self._inputs), error.message)
        except KeyboardInterrupt as error:
            raise PreparedInPart(self._finished()) from error

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Run the program on the image, or return what :meth:`prepare` has made of it.

        Raises:
            UserError: If the program fails or takes too long, or its output is missing, unreadable or of a wrong size.
        """
        pixels = to_pixels(lr)
        if self._batch is not None and image in self._inputs and np.array_equal(self._inputs[image], pixels):
            try:
                return self._read(Path(self._batch.name), image, pixels)
            except UserError as error:
                raise (self._failure or error) from None
        with tempfile.TemporaryDirectory(prefix="isrbench-command-") as name:
            folder = Path(name)
            if self._options.by_folder:
                self._run_folder(folder, {image: pixels})
            else:
                self._run_single(folder, image, pixels, seed)
            return self._read(folder, image, pixels)

    def cost(self, height: int, width: int) -> Cost:
        """Return an unknown cost: nobody sees what a program computes."""
        return Cost(macs=None, params_total=None)

    def input_hash(self, image: str) -> str:
        """Return "": images have no input of their own."""
        return ""

    def _run_single(self, folder: Path, image: str, pixels: NDArray[np.uint8], seed: int) -> None:
        inputs, outputs = _lay_out(folder, {image: pixels})
        name = f"{image}.png"
        self._call({"input": inputs / name, "output": outputs / name, "scale": self._scale, "seed": seed}, images=1)

    def _run_folder(self, folder: Path, images: Mapping[str, NDArray[np.uint8]]) -> None:
        inputs, outputs = _lay_out(folder, images)
        self._call({"input_dir": inputs, "output_dir": outputs, "scale": self._scale}, images=len(images))

    def _call(self, values: Mapping[str, Path | int], images: int) -> None:
        texts = {name: str(value) for name, value in values.items()}
        argv = arguments(self._options.command, texts, self._options.shell)
        call(argv, min(self._options.timeout * images, _LONGEST))

    def _finished(self) -> list[str]:
        """Return the images of the set that the program has written."""
        found = []
        for image, pixels in self._inputs.items():
            with suppress(UserError, OSError):
                self.restore(to_tensor(pixels), image=image, seed=0)
                found.append(image)
        return found

    def _read(self, folder: Path, image: str, pixels: NDArray[np.uint8]) -> Restored:
        path = folder / "out" / f"{image}.png"
        if not path.is_file():
            raise _lacking(path, image)
        try:
            restored, notes = read_noted(path)
        except UserError as error:  # its fix would change a temporary file
            raise UserError(
                error.message.replace(str(path), f"the program's {path.name}"),
                "have it write whole PNGs of 8-bit RGB",
            ) from error
        for note in notes:
            if note not in self._noted:  # once a run: all files of a program are alike
                log.warning("%s, as the program wrote it: %s", path.name, note)
        self._noted.update(notes)
        expected = (pixels.shape[0] * self._scale, pixels.shape[1] * self._scale)
        if restored.shape[:2] != expected:
            raise UserError(
                f"the program wrote {image}.png with {restored.shape[1]}x{restored.shape[0]} pixels, "
                f"but x{self._scale} is {expected[1]}x{expected[0]}",
                "pass {scale} to it, or choose a model of this scale",
            )
        return Restored(to_tensor(restored))


def build(options: CommandOptions, runtime: Runtime) -> Program:
    """Build the method.

    Raises:
        UserError: If the program is not found.
    """
    return Program(options, runtime.scale)


def _lacking(path: Path, image: str) -> UserError:
    """Say what the program did instead of writing an image."""
    if os.path.lexists(path):
        return UserError(f"what the program wrote as {image}.png is not a plain file", "have it write a PNG")
    try:
        found = sorted(p.name for p in path.parent.iterdir())
    except OSError as error:
        return UserError(
            f"the program's output folder is gone or cannot be read: {error.strerror}",
            "have it leave the folder in place, which is there already when it starts",
        )
    fix = "it has to write {output}, or a PNG of the input's name into {output_dir}"
    begun = next((name for name in found if name.startswith(path.stem) and name.lower().endswith(".png")), None)
    if begun is not None:
        fix += "; or run it by hand and score its folder: --method folder -o images=DIR"
        rest = begun[len(path.stem) : -len(".png")]
        fix += f" -o suffix={shlex.quote(rest)}" if rest else ""
    wrote = f"it wrote {some(found)}" if found else "it wrote nothing there"
    return UserError(f"the program succeeded, but {image}.png is not in its output folder; {wrote}", fix)


def _lay_out(folder: Path, images: Mapping[str, NDArray[np.uint8]]) -> tuple[Path, Path]:
    """Write images into ``in`` and make the folders of their results, such as 001/0, in ``out``; return both.

    Raises:
        UserError: If there is no room.
    """
    inputs, outputs = folder / "in", folder / "out"
    try:
        for place in (inputs, outputs):
            place.mkdir()
            for image in images:
                (place / image).parent.mkdir(parents=True, exist_ok=True)
        for image, pixels in images.items():
            write_png(inputs / f"{image}.png", pixels)
    except OSError as error:
        raise UserError(
            f"the temporary folder {folder.parent} cannot be written: {error.strerror or error}",
            "make room there, or choose another: TMPDIR=DIR isrbench ...",
        ) from error
    return inputs, outputs


def _hash_of_files(words: Sequence[str], depends_on: Sequence[Path]) -> str:
    """Return one hash over the files that the command names, also behind ``--name=``, and over what it depends on.

    The program is looked up on the PATH. Of a folder every file counts, by its name below the folder and its bytes;
    ``__pycache__`` does not, since running Python changes it.

    Raises:
        UserError: If something that it depends on cannot be read.
    """
    named = [shutil.which(words[0]) or words[0], *words[1:]]
    digest = hashlib.sha256()
    for word in named:
        path = next((p for p in map(Path, (word, word.partition("=")[2])) if is_there(p) and p.is_file()), None)
        if path is not None:
            digest.update(f"{path.name} {file_hash(path)}\n".encode())
    for place in depends_on:
        try:
            files = [place] if place.is_file() else sorted(_files_below(place, ()))
            for path in files:
                name = path.relative_to(place).as_posix() if path != place else path.name
                if "__pycache__" not in path.parts:
                    digest.update(f"depends {name} {file_hash(path)}\n".encode())
        except OSError as error:
            raise UserError(
                f"option 'depends': {error.filename or place} cannot be read: {error.strerror or error}",
                "make it readable, or name what the program reads: -o depends=FILE,DIR",
            ) from error
    return digest.hexdigest()


def _files_below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Return all files below a folder, through links too, as the program would read them; ``above`` ends loops."""
    real = folder.resolve()
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files_below(entry, (*above, real))
        elif entry.is_file():
            yield entry
