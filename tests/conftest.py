"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.paths import SHARED

# No test may reach for the network; what needs weights writes its own.
os.environ["ISRBENCH_OFFLINE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
# Tests start programs and threads of their own: on two cores, teams of OpenMP threads would spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def realsr() -> Path:
    """The 100 real pairs with the OSEDiff authors' outputs, where a developer has them."""
    folder = SHARED / "data" / "RealSR"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/RealSR (real test pairs, not redistributed here)")
    return folder


@pytest.fixture(scope="session")
def bsds_test() -> Path:
    """The test split of BSDS500, which nothing that ships was trained on, where a developer has it."""
    folder = SHARED / "data" / "BSDS500" / "test"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/BSDS500/test (photos, not redistributed here)")
    return folder


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth, coloured uint8 (H, W, 3) picture with some texture."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def write_pairs(folder: Path, names: list[str], lr: int = 16, scale: int = 4) -> Path:
    """Write LR/HR pairs of square pictures; returns ``folder``."""
    for sub in ("LR", "HR"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        hr = Image.fromarray(picture(seed, lr * scale, lr * scale))
        hr.save(folder / "HR" / f"{name}.png")
        hr.resize((lr, lr), Image.Resampling.BICUBIC).save(folder / "LR" / f"{name}.png")
    return folder


@pytest.fixture
def pairs_folder(tmp_path: Path) -> Path:
    """Four small pairs, 16 -> 64."""
    return write_pairs(tmp_path / "small", ["a", "b", "c", "d"])
