"""A folder of weights of the test's own, and images to score."""

import numpy as np
import pytest
from PIL import Image

from tests.support.pyiqa_files import declared


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """A TORCH_HOME that lasts for one test, as do hashes that it declares; pyiqa froze the old one when imported."""
    from pyiqa.utils import download_util

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path / "hub" / "pyiqa"))
    with declared():
        yield tmp_path


@pytest.fixture
def files(tmp_path):
    """An HR scene and two restored ones, 256x240, as PNGs."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    scene = np.asarray(coarse.resize((240, 256), Image.Resampling.BICUBIC))
    paths = []
    for name, sigma in (("hr", 0), ("sr1", 10), ("sr2", 30)):
        noisy = np.clip(scene + rng.normal(0, sigma, scene.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    return paths
