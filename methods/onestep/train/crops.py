"""Random crops of a folder of photos, each a pure function of the seed and the step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from isrbench.harness.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def find_images(folders: list[Path]) -> list[Path]:
    """List the image files below ``folders`` in a stable order.

    Raises:
        UserError: If a folder is missing or holds no image.
    """
    found: list[Path] = []
    for folder in folders:
        here = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not here:
            raise UserError(f"no images below {folder}", "pass a folder of JPEG or PNG photos with --data")
        found += here
    return found


def stream(*key: int) -> np.random.Generator:
    """Return the random stream of one event, such as (seed, step): the same whatever was drawn before."""
    return np.random.default_rng(key)


def random_crop(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a random ``size`` x ``size`` window, mirrored left to right half the time; small images are reflected first.

    Args:
        image: uint8 (H, W, 3).
        size: Side of the window in pixels.
        rng: Where the position and the mirroring come from.

    Returns:
        uint8 (size, size, 3), a contiguous copy.
    """
    short = [max(0, size - side) for side in image.shape[:2]]
    if any(short):
        image = np.pad(image, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
    top = int(rng.integers(image.shape[0] - size + 1))
    left = int(rng.integers(image.shape[1] - size + 1))
    window = image[top : top + size, left : left + size]
    return (window[:, ::-1] if rng.random() < 0.5 else window).copy()


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """Stack uint8 (H, W, 3) images of one size as float32 (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
