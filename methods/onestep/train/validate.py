"""Looking at a run while it trains: validation crops and real pairs, restored, shown beside LR and HR, and scored."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.degradation.pipeline import degrade
from isrbench.harness.degradation.presets import at_level
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_hr, read_lr, to_pixels, to_tensor
from isrbench.harness.imaging.photos import read_photos
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.severity.known import rank_correlation
from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint
from isrbench.methods.onestep.infer.colour import fix_colour
from isrbench.methods.onestep.train.best import Criterion, make_criterion
from isrbench.methods.onestep.train.config import TrainConfig
from isrbench.methods.onestep.train.data import find_images, random_crop, stack
from isrbench.methods.onestep.train.dataset import read_pairs
from isrbench.methods.onestep.train.degrade import SCALE, upsample
from isrbench.methods.onestep.train.draws import stream
from isrbench.methods.onestep.train.evaluated import Evaluated
from isrbench.methods.onestep.train.step import Networks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isrbench.harness.api.method import RoutingTrace

    Pixels = NDArray[np.uint8]

log = logging.getLogger(__name__)

_SEED = 31
_EVAL_SEED = 0
"""The seed of ``isrbench eval`` where none is given."""


@dataclass(frozen=True)
class _Looked:
    """One image of a validation: pixels are uint8 (H, W, 3)."""

    place: str
    """The level or the data set, as curves name it."""
    lr: Pixels
    restored: Pixels | None
    """None where it could not be restored."""
    hr: Pixels | None
    severity: float | None = None
    """The mean of what routed it."""
    active: float | None = None
    """Its active experts, a mean over the layers."""


class Validator:
    """Fixed crops of photos, each degraded once at every level, and the whole images of a data set.

    Curves are named ``validation/METRIC@PLACE``, bicubic enlargement's ``bicubic/METRIC@PLACE``; a place is a level or
    the data set's id. A metric that has no value for one of the images has none for the place, as in an evaluation.

    Args:
        config: What is trained: its ``validation`` says what is looked at, and by which metrics. Images go to its
            ``out``: LR enlarged, restored, HR, one row an image; a file a place.
        spec: The adapter that is trained.
        nets: The networks in training.
        checkpoint: The adapter as it would be saved now.

    Raises:
        UserError: If photos or data set are not found, a metric cannot compute or has no value for each image, or
            ``validation.best`` is none of what is measured.
    """

    def __init__(self, config: TrainConfig, spec: AdapterSpec, nets: Networks, checkpoint: AdapterCheckpoint) -> None:
        self._config, self._nets, look = config, nets, config.validation
        self._scorer = _make_scorer(look.metrics, str(nets.base.device))
        self._crops: list[Pixels] = []
        self._lr: dict[str, torch.Tensor] = {}
        if look.folders:
            paths = find_images([Path(folder) for folder in look.folders])
            paths = paths[:: max(1, len(paths) // look.images)][: look.images]
            photos = enumerate(read_photos(paths))
            self._crops = [random_crop(photo, look.crop, stream(_SEED, n)) for n, photo in photos]
            hr, numbers = stack(self._crops), range(len(self._crops))
            self._lr = {f"{level:g}": degrade(hr, at_level(level), numbers, SCALE) for level in sorted(look.levels)}
        card, self._pairs = read_pairs(look) if look.dataset else (None, [])
        self._dataset = card.id if card else ""
        if self._dataset in self._lr:
            raise UserError(f"validation.dataset is called {self._dataset}, as a level is", "rename its folder")
        self._evaluated = Evaluated(config, spec, nets, checkpoint) if card else None
        self.criterion: Criterion | None = None
        """What decides the best validation, if anything."""
        if look.best:
            directions = {id: self._scorer.direction(id) for id in self._scorer.ids}
            self.criterion = make_criterion(look.best, directions, list(self._lr), self._dataset)

    def baseline(self) -> dict[str, float]:
        """Return the metrics of bicubic enlargement.

        Raises:
            UserError: If one that decides the best validation has no value even there.
        """
        values = self._measure(self._enlarged(), "bicubic", None)
        for name in self.criterion.curves if self.criterion else ():
            if name.replace("validation/", "bicubic/", 1) not in values:
                raise UserError(
                    f"validation.best is {self._config.validation.best}, which has no value on these images",
                    "choose another metric: one that needs no HR where the data set has none",
                )
        return values

    @torch.no_grad()
    def run(self, checkpoint: AdapterCheckpoint, step: int) -> dict[str, float]:
        """Restore all images one by one, show some, and return the metrics.

        Crops are restored by the networks in training, which have to hold what is validated; the data set's images by
        the adapter as it would be saved, exactly as an evaluation without further options does.

        With them come, of an adapter that routes, ``validation/active_experts@PLACE``, and over all images
        ``validation/spearman``, the rank correlation of an image's severity (the mean of its seven) with its active
        experts; not where either is the same for all images.
        """
        return self._measure(chain(self._restored_crops(), self._restored_pairs(checkpoint)), "validation", step)

    def _enlarged(self) -> Iterator[_Looked]:
        for place, images in self._lr.items():
            for lr, hr in zip(images, self._crops, strict=True):
                yield _Looked(place, to_pixels(lr), _enlarge(to_pixels(lr)), hr)
        for pair in self._pairs:
            lr = read_lr(pair.lr, pair.lr_hash)
            yield _Looked(
                self._dataset, lr, _enlarge(lr), read_hr(pair.hr, pair.hr_hash, pair.hr_size) if pair.hr else None
            )

    def _restored_crops(self) -> Iterator[_Looked]:
        nets, device = self._nets, self._nets.base.device
        for place, images in self._lr.items():
            for n, (lr, hr) in enumerate(zip(images.to(device).split(1), self._crops, strict=True)):
                shape = (1, *nets.base.latent_shape(SCALE * lr.shape[-2], SCALE * lr.shape[-1]))
                noise = torch.from_numpy(stream(_SEED, 1, n).standard_normal(shape, dtype=np.float32)).to(device)
                severity = nets.severity(lr)
                image = ((nets.base.decode(nets.generate(lr, severity, noise)) + 1) / 2).clamp(0, 1)
                fixed = fix_colour(image[0], upsample(lr)[0], self._config.colour_fix)
                traces = nets.adapter.traces() or (None,)
                yield _Looked(place, to_pixels(lr[0]), to_pixels(fixed), hr, *_routing(severity, traces[0]))

    def _restored_pairs(self, checkpoint: AdapterCheckpoint) -> Iterator[_Looked]:
        if self._evaluated is None:
            return
        method = self._evaluated.method(checkpoint)
        for pair in self._pairs:
            lr = read_lr(pair.lr, pair.lr_hash)
            hr = read_hr(pair.hr, pair.hr_hash, pair.hr_size) if pair.hr else None
            try:
                restored, trace = restore_pixels(method, lr, pair.id, _EVAL_SEED, SCALE)
            except UserError as error:  # a network gone wrong: the run itself decides when to stop
                log.warning("validation: %s of %s: %s", pair.id, self._dataset, error.message)
                yield _Looked(self._dataset, lr, None, hr)
                continue
            severity = self._nets.severity(to_tensor(lr)[None])
            yield _Looked(self._dataset, lr, restored, hr, *_routing(severity, trace))

    def _measure(self, images: Iterator[_Looked], prefix: str, step: int | None) -> dict[str, float]:
        """Score images as they come; those of a step are shown too."""
        values: dict[str, list[float | None]] = defaultdict(list)
        shown: dict[str, list[Pixels]] = defaultdict(list)
        routed: list[tuple[float, float]] = []
        for image in images:
            for id, value in self._score(image).items():
                values[f"{prefix}/{id}@{image.place}"].append(value)
            if image.severity is not None and image.active is not None:
                values[f"{prefix}/active_experts@{image.place}"].append(image.active)
                routed.append((image.severity, image.active))
            if step is not None and len(shown[image.place]) < self._config.validation.images:
                shown[image.place].append(_row(image, self._config.validation.crop))
        for place, rows in shown.items():
            self._save(place, np.concatenate(rows), step or 0)
        means = {}
        for name, each in values.items():
            known = [value for value in each if value is not None]
            if len(known) == len(each):
                means[name] = sum(known) / len(known)
        rho = rank_correlation(*np.array(routed).reshape(-1, 2).T)
        return means if np.isnan(rho) else means | {f"{prefix}/spearman": rho}

    def _score(self, image: _Looked) -> dict[str, float | None]:
        if image.restored is None:
            return dict.fromkeys(self._scorer.image_metrics)
        scores = self._scorer.score_pixels(image.restored, image.hr, image.lr)
        for score in scores:
            if score.status is not ScoreStatus.OK and score.failure is not None:
                log.warning("validation: %s at %s: %s", score.metric, image.place, score.failure.message)
        return {score.metric: score.value for score in scores}

    def _save(self, place: str, sheet: Pixels, step: int) -> None:
        folder = self._config.out / "validation"
        folder.mkdir(parents=True, exist_ok=True)
        name = place if place == self._dataset else f"level-{place}"
        Image.fromarray(sheet).save(folder / f"step-{step:06d}-{name}.png")


def _make_scorer(ids: tuple[str, ...], device: str) -> Scorer:
    """Build the metrics now: a run of days must not find out later that one cannot compute."""
    scorer = Scorer(ids, device)
    if scorer.set_metrics:
        raise UserError(
            f"validation.metrics: {scorer.set_metrics[0]} compares whole sets, and a validation scores image by image",
            'leave it out: validation.metrics=\'["psnr", "piqe"]\'',
        )
    for failure in scorer.lacking().values():
        raise UserError(f"validation.metrics: {failure.message}", failure.fix or "choose other validation.metrics")
    return scorer


def _routing(severity: torch.Tensor | None, trace: RoutingTrace | None) -> tuple[float | None, float | None]:
    return (None, None) if severity is None or trace is None else (float(severity.mean()), trace.mean_active)


def _enlarge(lr: Pixels) -> Pixels:
    return to_pixels(upsample(to_tensor(lr)[None])[0])


def _row(image: _Looked, side: int) -> Pixels:
    """LR enlarged, restored and HR, side by side: the middle of each, ``side`` pixels square, black beyond it."""
    black = np.zeros((side, side, 3), np.uint8)
    tiles = []
    for pixels in (_enlarge(image.lr), image.restored, image.hr):
        tile = black.copy()
        if pixels is not None:
            top, left = (max(0, (n - side) // 2) for n in pixels.shape[:2])
            part = pixels[top : top + side, left : left + side]
            tile[: part.shape[0], : part.shape[1]] = part
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)
