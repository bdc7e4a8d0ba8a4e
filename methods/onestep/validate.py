"""Looking at a run while it trains: restored validation crops as a picture, and their metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.synthesis import at_level, degrade
from methods.onestep.crops import find_images, random_crop, read_image, stream, to_tensor
from methods.onestep.pairs import SCALE, upsample
from methods.onestep.step import Networks
from methods.onestep.train_config import Data, Validation

_SEED = 31
_LUMA = {"test_y_channel": True, "color_space": "ycbcr"}


class Validator:
    """Fixed crops of the validation photographs, degraded once.

    Args:
        config: How many, how severe, which metrics.
        data: The size of the crops.
        out: Where pictures go: LR enlarged, restored, HR, one row a crop.
        device: Where the metrics run.
    """

    def __init__(self, config: Validation, data: Data, out: Path, device: torch.device) -> None:
        import pyiqa

        self._out = out
        paths = find_images([Path(folder) for folder in config.folders])
        paths = paths[:: max(1, len(paths) // config.images)][: config.images]
        crops = [random_crop(read_image(path), data.crop, stream(_SEED, n)) for n, path in enumerate(paths)]
        self._hr = to_tensor(crops)
        self._lr = degrade(self._hr, at_level(config.level), range(len(crops)), SCALE)
        self._metrics: dict[str, Callable[..., Tensor]] = {
            name: pyiqa.create_metric(name, device=device, **(_LUMA if name in ("psnr", "ssim") else {}))
            for name in config.metrics
        }

    def baseline(self) -> dict[str, float]:
        """Give the metrics of bicubic enlargement."""
        return self._measure(upsample(self._lr), "bicubic")

    @torch.no_grad()
    def run(self, nets: Networks, shape: tuple[int, int, int], step: int) -> dict[str, float]:
        """Restore all crops one by one, save the picture, and give the metrics, with the active experts if routed."""
        device = nets.frozen.abar.device
        restored, active = [], []
        for n, lr in enumerate(self._lr.to(device).split(1)):
            noise = torch.from_numpy(stream(_SEED, 1, n).standard_normal((1, *shape), dtype=np.float32)).to(device)
            image = nets.decode(nets.generate(lr, lr, noise))
            restored.append(((image + 1) / 2).clamp(0, 1).cpu())
            active += [trace.mean_active for trace in nets.adapter.traces() or ()]
        images = torch.cat(restored)
        self._save(images, step)
        values = self._measure(images, "validation")
        return values | ({"validation/active_experts": sum(active) / len(active)} if active else {})

    def _measure(self, images: Tensor, prefix: str) -> dict[str, float]:
        images = (images * 255).round() / 255
        values = {}
        for name, metric in self._metrics.items():
            full = getattr(metric, "metric_mode", "FR") == "FR"
            each = [
                float(metric(x[None], y[None]) if full else metric(x[None]))
                for x, y in zip(images, self._hr, strict=True)
            ]
            values[f"{prefix}/{name}"] = sum(each) / len(each)
        return values

    def _save(self, images: Tensor, step: int) -> None:
        rows = torch.stack([upsample(self._lr), images, self._hr], dim=1)  # (N, 3, 3, H, W)
        n, columns, _, height, width = rows.shape
        sheet = rows.permute(0, 3, 1, 4, 2).reshape(n * height, columns * width, 3)
        folder = self._out / "validation"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((sheet * 255).round().byte().numpy()).save(folder / f"step-{step:06d}.png")
