"""HR scenes to degrade."""

from __future__ import annotations

import numpy as np
import torch


def scenes(count: int, size: int, seed: int = 0) -> torch.Tensor:
    """Images with edges, gradients and texture: random rectangles of random brightness and grain."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 3, size, size), np.float32)
    for image in images:
        image[:] = np.linspace(0.2, 0.8, size, dtype=np.float32)
        for _ in range(12):
            y, x, h, w = rng.integers(0, size, 4)
            image[:, y : y + h // 2 + 4, x : x + w // 2 + 4] = rng.uniform(0, 1, (3, 1, 1))
        image += rng.normal(0, 0.03, image.shape)
    return torch.from_numpy(images.clip(0, 1))
