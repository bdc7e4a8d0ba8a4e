"""Make a test set of your own photographs: their middles, degraded at known severity levels.

    python -m harness.make_set PHOTOS --out my_set --crop 192 --levels 0.2 0.5 0.8
    isrbench eval --method mor --dataset my_set/card.toml

Every LR image is decided by its photograph, its level and --seed alone. Nothing is overwritten.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.images import image_files, read_photo, to_pixels, to_tensor, write_png
from harness.plan import image_seed
from harness.synthesis import LEVELS, at_level, degrade

log = logging.getLogger(__name__)
SCALE = 4

_CARD = """id = "{id}"
title = "{count} photographs at severity {levels}"
scale = {scale}
count = {images}
lr_size = [{lr}, {lr}]
hr_size = [{hr}, {hr}]
has_hr = true
licence = "that of the photographs"
source = "Middles of photographs, degraded by `python -m harness.make_set --crop {hr} --levels {levels} --seed {seed}`."
root = "."
levels = "levels.csv"
"""


def middle(photo: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A copy of the middle ``side`` x ``side`` pixels of uint8 (H, W, 3), both sides at least ``side``."""
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    return photo[top : top + side, left : left + side].copy()


def make_set(photos: Sequence[Path], out: Path, side: int, levels: Sequence[float], seed: int = 0) -> Path:
    """Write ``out/LR``, ``out/HR``, ``out/levels.csv`` and last ``out/card.toml``, a data set for ``--dataset``.

    Args:
        photos: Image files; an image's id is ``STEM_LEVEL``.
        out: A folder that does not exist yet; its name becomes the set's id.
        side: Side of the HR crops in pixels, a multiple of 4; the LRs are a quarter of it.
        levels: Severity levels in [0, 1]; each photograph is degraded at each.
        seed: Another seed gives another draw of the same degradations.

    Returns:
        The card.

    Raises:
        UserError: If ``out`` exists, there is no photograph or level, two photographs share a stem, one is smaller than
            the crop, or an argument is out of range. Nothing is written then.
    """
    _check(photos, out, side, levels, seed)
    crops = {photo.stem: middle(_large_enough(photo, side), side) for photo in photos}
    for kind in ("LR", "HR"):
        (out / kind).mkdir(parents=True)
    lines = ["image,level"]
    for stem, hr in crops.items():
        for level in levels:
            name = f"{stem}_{level:g}"
            lr = degrade(to_tensor(hr)[None], at_level(level), [image_seed(seed, name)], SCALE)[0]
            write_png(out / "LR" / f"{name}.png", to_pixels(lr))
            write_png(out / "HR" / f"{name}.png", hr)
            lines.append(f"{name},{level:g}")
    (out / "levels.csv").write_text("\n".join(lines) + "\n", newline="\n")
    card = out / "card.toml"
    words = " ".join(f"{level:g}" for level in levels)
    card.write_text(
        _CARD.format(id=out.name, count=len(crops), levels=words, scale=SCALE, images=len(lines) - 1,
                     lr=side // SCALE, hr=side, seed=seed),
        newline="\n",
    )  # fmt: skip
    return card


def _check(photos: Sequence[Path], out: Path, side: int, levels: Sequence[float], seed: int) -> None:
    if out.exists():
        raise UserError(f"{out} is there already", "name another --out, or move it away")
    if not all(c.isalnum() or c in "._-" for c in out.name) or not out.name[:1].isalnum():
        raise UserError(f"'{out.name}' cannot be the id of a set", "use letters, digits, dots, dashes and underscores")
    if side < 16 or side % SCALE:
        raise UserError(f"--crop is {side}", f"choose a multiple of {SCALE}, 16 or more")
    if not levels or not all(0 <= level <= 1 for level in levels):
        raise UserError(f"--levels is {list(levels)}", "choose severity levels between 0 and 1, such as 0.2 0.5 0.8")
    if seed < 0:
        raise UserError(f"--seed is {seed}", "choose 0 or more")
    if not photos:
        raise UserError("no photographs", "pass a folder with JPEG or PNG files")
    stems: dict[str, Path] = {}
    for photo in photos:
        if photo.stem in stems:
            raise UserError(f"{stems[photo.stem]} and {photo} would get one name", "rename one of them")
        stems[photo.stem] = photo
    if len({f"{level:g}" for level in levels}) < len(levels):
        raise UserError(f"--levels names one level twice: {list(levels)}", "name each level once")


def _large_enough(photo: Path, side: int) -> NDArray[np.uint8]:
    pixels = read_photo(photo)
    if min(pixels.shape[:2]) < side:
        height, width = pixels.shape[:2]
        raise UserError(f"{photo} is {width} x {height} px, smaller than --crop {side}", "leave it out, or crop less")
    return pixels


def main(argv: Sequence[str] | None = None) -> int:
    """Make the set; 2 and one message where that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m harness.make_set", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("photos", type=Path, nargs="+", help="photographs, or folders of them")
    parser.add_argument("--out", type=Path, required=True, help="folder to make; its name is the set's id")
    parser.add_argument("--crop", type=int, default=256, help="side of the HR images in pixels")
    parser.add_argument("--levels", type=float, nargs="+", default=list(LEVELS.values()), help="severities in [0, 1]")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        photos = [file for path in args.photos for file in (image_files(path) if path.is_dir() else [path])]
        card = make_set(photos, args.out, args.crop, args.levels, args.seed)
    except UserError as error:
        log.error("error: %s", error)
        return 2
    log.info("wrote %d pairs; evaluate with --dataset %s", len(photos) * len(args.levels), card)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
