"""Degradation severity of an LR image by CLIP: seven numbers in [0, 1], higher = worse.

He et al., "Mixture of Ranks with Degradation-Aware Routing" (AAAI 2026), degradation estimation: each dimension has a
pair of prompts, and s_i is the probability of the bad one under a softmax over the two cosine similarities. Any
open_clip model will do; ``tiny`` is the one that ships. See docs/severity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isrbench.harness.errors import UserError, reason
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.spec import MAX_CROPS, folder_of, read_prompts
from isrbench.harness.severity.weights import check_spec, unfetchable

Tokenizer = Callable[[list[str]], Tensor]


def pair_probability(good: Tensor, bad: Tensor, logit_scale: float | Tensor) -> Tensor:
    """Return the severity of each dimension: exp(t d_bad) / (exp(t d_good) + exp(t d_bad)).

    Args:
        good: Cosine similarities to the good prompts, any shape.
        bad: Cosine similarities to the bad prompts, same shape.
        logit_scale: The temperature t; 1 is the paper's literal formula.

    Returns:
        Values in [0, 1].
    """
    return torch.sigmoid(logit_scale * (bad - good))


def crops_of(image: Tensor, size: int) -> Tensor:
    """Cut an image into crops that show its degradation to a model as it is.

    Resizing would hide what is to be measured, so crops are taken at the image's own resolution: an even grid of at
    most ``MAX_CROPS`` a side, which covers the image or, where that is too few, leaves gaps. Only an image smaller than
    the model's input is enlarged (bicubic).

    Args:
        image: float (3, H, W) in [0, 1].
        size: The model's input side in pixels.

    Returns:
        (N, 3, size, size); N depends on H and W only.
    """
    height, width = image.shape[1:]
    short = min(height, width)
    if short < size:
        shape = tuple(max(size, round(side * size / short)) for side in (height, width))
        image = F.interpolate(image[None], shape, mode="bicubic", align_corners=False)[0].clamp(0, 1)
        height, width = shape
    return torch.stack(
        [image[:, y : y + size, x : x + size] for y in _starts(height, size) for x in _starts(width, size)]
    )


def _starts(length: int, size: int) -> list[int]:
    count = min(MAX_CROPS, -(-length // size))
    return [0] if count == 1 else [round(i * (length - size) / (count - 1)) for i in range(count)]


class ClipSeverity:
    """An open_clip model that tells how degraded an image is; an ``Estimator`` owns it.

    Args:
        model: An open_clip model (``encode_image``, ``encode_text``, ``visual.image_size`` and mean and std).
        tokenizer: Its tokenizer: texts -> tokens.
        prompts: (good, bad) per dimension, in the order of ``DIMENSIONS``.
        logit_scale: Temperature of the softmax; None = the model's own.

    Raises:
        ValueError: If the prompts come in another order.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Tokenizer, prompts: Mapping[str, tuple[str, str]], logit_scale: float | None
    ) -> None:
        if tuple(prompts) != DIMENSIONS:
            raise ValueError(f"prompts must come in the order {DIMENSIONS}, not {tuple(prompts)}")
        self.model = model.eval().requires_grad_(False)
        self._device = next(model.parameters()).device
        visual: nn.Module = model.visual  # type: ignore[assignment]
        size = visual.image_size
        self.size = int(max(size) if isinstance(size, tuple | list) else size)  # type: ignore[arg-type]
        """Side of the crops that the model sees, in pixels."""
        statistics = [visual.image_mean, visual.image_std]
        self._mean, self._std = (torch.tensor(v, device=self._device)[:, None, None] for v in statistics)
        own = float(model.logit_scale.exp())  # type: ignore[operator]
        self.logit_scale = own if logit_scale is None else float(logit_scale)
        with torch.no_grad():
            self._good, self._bad = (
                F.normalize(model.encode_text(tokenizer(list(texts)).to(self._device)).float(), dim=-1)  # type: ignore
                for texts in zip(*prompts.values(), strict=True)
            )

    @torch.no_grad()
    def estimate(self, image: Tensor) -> Tensor:
        """Return the severity vector of one image, the mean over its crops.

        Args:
            image: float (3, H, W) in [0, 1], RGB, at the LR's own size.

        Returns:
            float32 (7,) in [0, 1] on the model's device, in the order of ``DIMENSIONS``.
        """
        crops = crops_of(image.detach().to(self._device, torch.float32), self.size)
        embedded = self.model.encode_image((crops - self._mean) / self._std).float()  # type: ignore[operator]
        embedded = F.normalize(embedded, dim=-1)
        return pair_probability(embedded @ self._good.T, embedded @ self._bad.T, self.logit_scale).mean(0)


def load_severity(spec: str, device: str, logit_scale: float | None) -> ClipSeverity:
    """Load an estimator's network; arguments as in :class:`isrbench.harness.severity.estimator.Estimator`.

    Raises:
        UserError: If the model, the tag or the file is unknown or does not load, or cannot be fetched.
    """
    model, tokenizer = load_clip(spec, device)
    return ClipSeverity(model, tokenizer, read_prompts(), logit_scale)


def load_clip(spec: str, device: str) -> tuple[nn.Module, Tokenizer]:
    """Load an open_clip model in float32, and its tokenizer.

    Args:
        spec: See :class:`isrbench.harness.severity.estimator.Estimator`.
        device: Torch device string.

    Raises:
        UserError: If the model, the tag or the file is unknown or does not load, or cannot be fetched.
    """
    folder = folder_of(spec)
    if folder.is_dir():
        name, pretrained = f"local-dir:{folder}", None
    else:
        check_spec(spec)
        name, _, pretrained = spec.partition("/")
        _check_reachable(spec, name, pretrained)
    try:
        model = open_clip.create_model(
            name, pretrained, precision="fp32", device=device, require_pretrained=True, pretrained_text=False
        )
        return model, open_clip.get_tokenizer(name)  # type: ignore[return-value]
    except Exception as error:  # open_clip raises nearly anything for a file that is not what it should be
        raise UserError(
            f"severity estimator '{spec}' does not load: {reason(error)}",
            "check that folder or file is complete and belongs to this model, or use the one that ships: tiny",
        ) from error


def _check_reachable(spec: str, name: str, pretrained: str) -> None:
    """Refuse an unreachable network before anything waits for it."""
    if Path(pretrained).is_file():
        return
    if why := unfetchable(open_clip.get_pretrained_cfg(name, pretrained)):
        raise UserError(
            f"severity estimator '{spec}': its weights are not on this machine and cannot be fetched: {why}",
            "run once with network access, pass MODEL/FILE, or use the one that ships: tiny",
        )
