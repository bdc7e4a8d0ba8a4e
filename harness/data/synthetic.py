"""Make a test set from photos: their centre crops, degraded at known severity levels.

    isrbench tools make-set PHOTOS --out my_set --crop 256 --levels 0.2 0.5 0.8
    isrbench eval --method mor --dataset my_set/card.toml

What is drawn for an LR image depends on its photo's stem, its level and --seed alone.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from isrbench.harness.api.dataset import Card
from isrbench.harness.data.catalogue import catalogue
from isrbench.harness.degradation.pipeline import degrade
from isrbench.harness.degradation.presets import LEVELS, at_level
from isrbench.harness.errors import UserError
from isrbench.harness.identity import image_seed
from isrbench.harness.imaging.images import tell_notes, to_pixels, to_tensor, write_png
from isrbench.harness.imaging.listing import list_images
from isrbench.harness.imaging.photos import open_photo

log = logging.getLogger(__name__)
SCALE = 4


class MadePair(NamedTuple):
    """One pair as it is written."""

    id: str
    lr: NDArray[np.uint8]
    """uint8 (H, W, 3)."""
    hr: NDArray[np.uint8]
    """uint8 (SCALE*H, SCALE*W, 3)."""
    level: float
    """Severity level that the LR was degraded at."""


def make_pair(id: str, hr: NDArray[np.uint8], level: float, seed: int) -> MadePair:
    """Degrade an HR image, uint8 (H, W, 3), at a severity level; ``seed`` decides all that is random about it."""
    lr = degrade(to_tensor(hr)[None], at_level(level), [seed], SCALE)[0]
    return MadePair(id, to_pixels(lr), hr, level)


def write_pairs(folder: Path, pairs: Iterable[MadePair], *, smallest: bool = False) -> None:
    """Write ``LR/ID.png``, ``HR/ID.png`` and ``levels.csv`` below ``folder``; ``smallest`` as in :func:`write_png`."""
    for kind in ("LR", "HR"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    with (folder / "levels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("image", "level"))
        for pair in pairs:
            write_png(folder / "LR" / f"{pair.id}.png", pair.lr, smallest=smallest)
            write_png(folder / "HR" / f"{pair.id}.png", pair.hr, smallest=smallest)
            rows.writerow((pair.id, f"{pair.level:g}"))


def make_set(photos: Sequence[Path], out: Path, side: int, levels: Sequence[float], seed: int = 0) -> Path:
    """Write ``out/LR``, ``out/HR``, ``out/levels.csv`` and ``out/card.toml``, a data set for ``--dataset``.

    Args:
        photos: Image files; the ids are ``STEM_LEVEL``.
        out: A folder that does not exist yet; its name becomes the set's id.
        side: Side of the HR crops in pixels, a multiple of 4; the LRs are a quarter of it.
        levels: Severity levels in [0, 1]; each photo is degraded at each.
        seed: Another seed gives another draw of the same degradations.

    Returns:
        The card's file.

    Raises:
        UserError: If ``out`` exists, cannot be written or cannot be a set's name; there is no photo or level; two
            photos share a stem; one is unreadable or smaller than the crop; or an argument is out of range.
            Nothing is left behind.
    """
    levels = [level + 0.0 for level in levels]  # -0 is 0
    _check(photos, out, side, levels, seed)
    card = _card(photos, out.name, side, levels, seed)
    crops, notes = {}, {}
    for photo in photos:
        crops[photo.stem], notes[photo] = _centre(photo, side)
    tell_notes(notes.items())
    # The folder appears whole or not at all: half a set would be scored like a whole one.
    scratch = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        ids = ((f"{stem}_{level:g}", hr, level) for stem, hr in crops.items() for level in levels)
        write_pairs(scratch, (make_pair(id, hr, level, image_seed(seed, id)) for id, hr, level in ids))
        (scratch / "card.toml").write_text(card, encoding="utf-8", newline="\n")
        scratch.rename(out)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error}", "make room, or name another --out") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return out / "card.toml"


def _check(photos: Sequence[Path], out: Path, side: int, levels: Sequence[float], seed: int) -> None:
    if out.exists():
        raise UserError(f"{out} exists already", "name another --out, or move it away")
    if out.name in catalogue():
        raise UserError(f"'{out.name}' is the id of a set that ships", "give --out another name")
    if side < 16 or side % SCALE:
        raise UserError(f"--crop is {side}", f"choose a multiple of {SCALE}, 16 or more")
    if not levels or not all(0 <= level <= 1 and level == float(f"{level:g}") for level in levels):
        raise UserError(
            f"--levels is {list(levels)}",
            "choose severity levels between 0 and 1 of at most six digits, as 0.2 0.5 0.8",
        )
    if len(set(levels)) < len(levels):
        raise UserError(f"--levels names one level twice: {list(levels)}", "name each level once")
    if seed < 0:
        raise UserError(f"--seed is {seed}", "choose 0 or more")
    if not photos:
        raise UserError("no photos", "pass JPEG or PNG files, or folders of them")
    stems: dict[str, Path] = {}
    for photo in photos:
        if photo.name.startswith("."):
            raise UserError(f"{photo} is a hidden file, which data sets skip", "rename it")
        # On some file systems names that differ only in case are one file.
        stem = photo.stem.casefold()
        if stem in stems:
            raise UserError(f"{stems[stem]} and {photo} would get the same name", "rename one of them")
        stems[stem] = photo


def _card(photos: Sequence[Path], name: str, side: int, levels: Sequence[float], seed: int) -> str:
    """Return the card's text; UserError where ``name`` cannot be a set's id."""
    words = " ".join(f"{level:g}" for level in levels)
    command = f"isrbench tools make-set --crop {side} --levels {words} --seed {seed}"
    texts = {
        "id": name,
        "title": f"Photos at severity {words}",
        "license": "that of the photos",
        "source": f"Centre crops of photos, degraded by `{command}`.",
        "root": ".",
        "levels": "levels.csv",
    }
    numbers = {
        "scale": SCALE,
        "count": len(photos) * len(levels),
        "lr_size": [side // SCALE] * 2,
        "hr_size": [side] * 2,
    }
    try:
        Card.model_validate(texts | numbers)
    except ValidationError as error:
        raise UserError(
            f"'{name}' cannot be the id of a set", "use letters of A to Z, digits, dots, dashes and underscores"
        ) from error
    lines = [f'{key} = "{text}"' for key, text in texts.items()] + [f"{key} = {n}" for key, n in numbers.items()]
    return "\n".join([*lines, "has_hr = true"]) + "\n"


def _centre(photo: Path, side: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return a copy of the photo's centre, uint8 (side, side, 3), and what was done or left out on the way."""
    read = open_photo(photo)
    pixels = read.pixels
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        raise UserError(f"{photo} is {width} x {height} px, smaller than --crop {side}", "leave it out, or crop less")
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side].copy(), (*read.notes, *read.profile_left_out)


def photo_files(place: Path) -> list[Path]:
    """Return a photo, or those of a folder.

    Raises:
        UserError: If the folder cannot be read or holds none.
    """
    if not place.is_dir():
        return [place]
    try:
        found = list_images(place, tell=True)
    except OSError as error:
        raise UserError(f"{place} cannot be read: {error}", "check its permissions") from error
    if not found:
        raise UserError(
            f"{place} holds no images",
            "name the folder that holds them: sub-folders are not searched",
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Make the set and return the exit code: 2, with one message, where it cannot be made."""
    parser = argparse.ArgumentParser(prog="isrbench tools make-set", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("photos", type=Path, nargs="+", help="photos, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder to make; its name is the set's id")
    parser.add_argument("--crop", type=int, default=256, help="side of the HR images in pixels")
    parser.add_argument("--levels", type=float, nargs="+", default=list(LEVELS.values()), help="severities in [0, 1]")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other degradations")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        photos = [file for place in args.photos for file in photo_files(place)]
        card = make_set(photos, args.out, args.crop, args.levels, args.seed)
    except UserError as error:
        log.error("%s", error)
        return 2
    log.info("wrote %d pairs; evaluate with --dataset %s", len(photos) * len(args.levels), card)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
