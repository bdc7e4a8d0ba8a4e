"""Make the sample set that ships: eight scenes from scikit-image's photos, degraded at three severities.

    isrbench tools make-sample            # write the sample set where it ships
    isrbench tools make-sample --check    # regenerate and compare pixels with what is there

Needs scikit-image, whose wheel carries the photos. Everything else follows from this file.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isrbench.harness.data.find import catalogue_folder
from isrbench.harness.data.synthetic import MadePair, make_pair, write_pairs
from isrbench.harness.degradation.presets import LEVELS
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb
from isrbench.harness.imaging.opening import opened

log = logging.getLogger(__name__)

FOLDER = catalogue_folder() / "sample"
"""Where the set lies: in the checkout, or inside the installed package."""
SIDE = 256
"""HR side in pixels; the LR is a quarter of it."""
MADE_WITH = ("numpy", "pillow", "scipy", "torch")
"""Libraries whose versions are recorded: with the same ones the PNG files come out byte for byte."""


@dataclass(frozen=True)
class Scene:
    """One HR scene: a window of one photo."""

    name: str
    file: str
    """File in scikit-image's data folder, a key of `PHOTOS`."""
    left: int
    top: int
    """Corner of the window, after the reduction."""
    reduce: int = 1
    """Integer reduction (box average) before cropping, for photos much larger than a scene."""


PHOTOS = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
}
"""sha256 of the photos that the scenes were cut from; sources and licenses in the set's LICENSES.md."""

SCENES = (
    Scene("astronaut", "astronaut.png", 100, 0),
    Scene("cat", "chelsea.png", 60, 20),
    Scene("cup", "coffee.png", 60, 20),
    Scene("galaxies", "hubble_deep_field.jpg", 600, 500),
    Scene("retina", "retina.jpg", 300, 250, reduce=2),
    Scene("rocket", "rocket.jpg", 200, 160),
    Scene("spacesuit", "astronaut.png", 0, 240),
    Scene("spoon", "coffee.png", 330, 140),
)


def read_photo(scene: Scene) -> NDArray[np.uint8]:
    """Read the scene's photo from the installed scikit-image and cut the scene out: uint8 (SIDE, SIDE, 3).

    Raises:
        UserError: If scikit-image or the file is absent, or the file is not the one that the scene was cut from.
    """
    try:
        import skimage
    except ImportError as error:
        raise UserError("the sample set's photos come with scikit-image", "pip install scikit-image") from error
    path = Path(skimage.__file__).parent / "data" / scene.file
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != PHOTOS[scene.file]:
        raise UserError(
            f"{path} is missing, or is not the version that {scene.name} was cut from",
            "pip install -c constraints.txt scikit-image",
        )
    with opened(path) as image:
        image = image.convert("RGB").reduce(scene.reduce)
        return np.array(image.crop((scene.left, scene.top, scene.left + SIDE, scene.top + SIDE)))


def scene_seed(name: str) -> int:
    """Return the seed of one LR image: the first 64 bits of its name's sha256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def make_pairs() -> Iterator[MadePair]:
    """Yield all pairs, LR (64, 64, 3) and HR (256, 256, 3), in the order of scenes and levels."""
    for scene in SCENES:
        hr = read_photo(scene)
        for name, level in LEVELS.items():
            id = f"{scene.name}_{name}"
            yield make_pair(id, hr, level, scene_seed(id))


def write_sample(folder: Path) -> None:
    """Write LR/, HR/, levels.csv and made-with.txt to ``folder``."""
    write_pairs(folder, make_pairs(), smallest=True)
    (folder / "made-with.txt").write_text(made_with(), newline="\n")


def made_with() -> str:
    """Return the installed versions of the libraries that decide the files, one a line."""
    return "".join(f"{name}=={version(name)}\n" for name in MADE_WITH)


def differences(folder: Path) -> list[str]:
    """Make the set again and return what differs in ``folder``: pixels, missing and extra images. Empty = nothing."""
    with tempfile.TemporaryDirectory() as fresh:
        write_pairs(Path(fresh), make_pairs())
        found = []
        for kind in ("LR", "HR"):
            names = {p.name for root in (Path(fresh), folder) for p in (root / kind).glob("*.png")}
            for name in sorted(names):
                ours, theirs = (root / kind / name for root in (Path(fresh), folder))
                if not (ours.is_file() and theirs.is_file()):
                    found.append(f"{kind}/{name}: {'missing' if ours.is_file() else 'extra'}")
                elif not np.array_equal(read_rgb(ours), read_rgb(theirs)):
                    found.append(f"{kind}/{name}: other pixels")
        if (Path(fresh) / "levels.csv").read_text() != (folder / "levels.csv").read_text():
            found.append("levels.csv: other content")
        return found


def main(argv: list[str] | None = None) -> int:
    """Write the set, or check it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="isrbench tools make-sample", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write or check")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the set differs")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not args.check:
        write_sample(args.out)
        log.info("wrote %d pairs to %s", len(SCENES) * len(LEVELS), args.out)
        return 0
    found = differences(args.out)
    log.info("\n".join(found) or f"{args.out} is what this command makes")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
