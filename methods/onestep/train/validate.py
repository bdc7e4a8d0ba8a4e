"""Looking at a run while it trains: restored validation crops side by side with LR and HR, and their metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from isrbench.harness.api.registry import metrics
from isrbench.harness.degradation.pipeline import degrade
from isrbench.harness.degradation.presets import at_level
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_photo
from isrbench.harness.metrics.weights import ensure
from isrbench.methods.onestep.infer.colour import fix_colour
from isrbench.methods.onestep.options import ColourFix
from isrbench.methods.onestep.train.config import TrainConfig
from isrbench.methods.onestep.train.data import find_images, random_crop, stack
from isrbench.methods.onestep.train.degrade import SCALE, upsample
from isrbench.methods.onestep.train.draws import stream
from isrbench.methods.onestep.train.step import Networks

_SEED = 31
_LUMA = {"test_y_channel": True, "color_space": "ycbcr"}


def load_metric(name: str, device: torch.device) -> Callable[..., Tensor]:
    """Load a metric of pyiqa for looking at a training; PSNR and SSIM on Y of YCbCr.

    Raises:
        UserError: If there is none of this name, or its weights are absent and cannot be fetched.
    """
    import pyiqa

    if name not in pyiqa.list_models():
        raise UserError(f"validation.metrics: pyiqa has no '{name}'", "name metrics such as psnr, ssim, piqe")
    if name in metrics():
        ensure(metrics().get(name))
    try:
        return pyiqa.create_metric(name, device=device, **(_LUMA if name in ("psnr", "ssim") else {}))
    except Exception as error:  # whatever its download, or the reading of what came, raises
        raise UserError(
            f"validation.metrics: {name} does not load: {error}",
            'choose others: validation.metrics=\'["psnr", "piqe"]\'',
        ) from error


class Validator:
    """Fixed crops of the validation photos, each degraded once at every level.

    Metrics are named ``validation/METRIC@LEVEL``, bicubic enlargement's ``bicubic/METRIC@LEVEL``.

    Args:
        config: What is trained: its ``validation`` says how many crops, how severe, which metrics. Images go to its
            ``out``: LR enlarged, restored, HR, one row a crop; a file a level.
        device: Where the metrics run.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        look = config.validation
        self._out = config.out
        self._colour_fix: ColourFix = config.colour_fix
        paths = find_images([Path(folder) for folder in look.folders])
        paths = paths[:: max(1, len(paths) // look.images)][: look.images]
        crops = [random_crop(read_photo(path), look.crop, stream(_SEED, n)) for n, path in enumerate(paths)]
        self._hr = stack(crops)
        self._lr = {
            level: degrade(self._hr, at_level(level), range(len(crops)), SCALE) for level in sorted(look.levels)
        }
        self._metrics = {name: load_metric(name, device) for name in look.metrics}

    def baseline(self) -> dict[str, float]:
        """Return the metrics of bicubic enlargement."""
        return self._measure({level: upsample(lr) for level, lr in self._lr.items()}, "bicubic")

    @torch.no_grad()
    def run(self, nets: Networks, step: int) -> dict[str, float]:
        """Restore all crops one by one, save the images, and return the metrics, with the active experts if routed."""
        device = nets.base.device
        restored: dict[float, Tensor] = {}
        active: dict[str, float] = {}
        for level, images in self._lr.items():
            parts, experts = [], []
            for n, lr in enumerate(images.to(device).split(1)):
                shape = (1, *nets.base.latent_shape(SCALE * lr.shape[-2], SCALE * lr.shape[-1]))
                noise = torch.from_numpy(stream(_SEED, 1, n).standard_normal(shape, dtype=np.float32)).to(device)
                image = ((nets.base.decode(nets.generate(lr, nets.severity(lr), noise)) + 1) / 2).clamp(0, 1)
                parts.append(fix_colour(image[0], upsample(lr)[0], self._colour_fix)[None].cpu())
                experts += [trace.mean_active for trace in nets.adapter.traces() or ()]
            restored[level] = torch.cat(parts)
            self._save(level, restored[level], step)
            if experts:
                active[f"validation/active_experts@{level:g}"] = sum(experts) / len(experts)
        return self._measure(restored, "validation") | active

    def _measure(self, restored: dict[float, Tensor], prefix: str) -> dict[str, float]:
        values = {}
        for name, metric in self._metrics.items():
            full = getattr(metric, "metric_mode", "FR") == "FR"
            for level, images in restored.items():
                each = [
                    float(metric(x[None], y[None]) if full else metric(x[None]))
                    for x, y in zip((images * 255).round() / 255, self._hr, strict=True)
                ]
                values[f"{prefix}/{name}@{level:g}"] = sum(each) / len(each)
        return values

    def _save(self, level: float, images: Tensor, step: int) -> None:
        rows = torch.stack([upsample(self._lr[level]), images, self._hr], dim=1)  # (N, 3, 3, H, W)
        n, columns, _, height, width = rows.shape
        sheet = rows.permute(0, 3, 1, 4, 2).reshape(n * height, columns * width, 3)
        folder = self._out / "validation"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((sheet * 255).round().byte().numpy()).save(folder / f"step-{step:06d}-level-{level:g}.png")
