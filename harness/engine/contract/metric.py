"""What every metric has to hold, ours or anyone's, tried on small made images."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isrbench.harness.api.metric import Direction, Metric, Reference
from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import Registry, metrics
from isrbench.harness.engine.contract.check import (
    Broken,
    Checked,
    Checks,
    Skipped,
    carry_out,
    expect,
    process_left_alone,
)
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import write_png
from isrbench.harness.metrics import weights
from isrbench.harness.metrics.scorer import Score, Scorer
from isrbench.harness.metrics.version import version_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SIDE, _SCALE, _SET = 96, 4, 6


@dataclass(frozen=True)
class Subject:
    """A metric that is checked, and what computes it: as in a run, and nothing else."""

    metric: Metric
    scorer: Scorer

    def value(self, images: Images) -> float:
        """Return the metric's value of one image.

        Raises:
            Broken: If there is none.
            Skipped: If its weights are not here, or it is a metric of whole sets.
        """
        if self.metric.reference is Reference.SET:
            raise Skipped("the metric is one of whole sets")
        (score,) = self.scorer.score_pixels(images.restored, images.hr, images.lr)
        return _value(score)

    def set_value(self, restored: Sequence[Path], hr: Sequence[Path]) -> float:
        """Return the metric's value of a set of PNGs; raises as :meth:`value`."""
        if self.metric.reference is not Reference.SET:
            raise Skipped("the metric is one of single images")
        return _value(self.scorer.score_set(self.metric.id, restored, hr))


def _value(score: Score) -> float:
    why = score.failure
    if score.status is ScoreStatus.UNAVAILABLE:
        raise Skipped("its weights are not here" + (f": {why.fix}" if why and why.fix else ""))
    if score.value is None:
        raise Broken(why.brief if why else score.status.value)
    return score.value


@dataclass(frozen=True)
class Images:
    """A restored image, its HR and its LR: uint8 (H, W, 3), as read-only as the scorer's."""

    restored: NDArray[np.uint8]
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]

    def handed(self, metric: Metric) -> list[NDArray[np.uint8] | None]:
        """Return what a metric looks at, and None for what it does not."""
        full = metric.reference is Reference.FULL
        return [self.restored, self.hr if full else None, self.lr if metric.uses_lr else None]


def made_images(height: int, width: int) -> Images:
    """Make images with edges and texture, the same every time; sides have to be multiples of 4."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width]
    scene = np.stack([128 + 60 * np.sin(x / 5 + c) + 50 * np.cos(y / (7 + c)) for c in range(3)], axis=-1)
    scene[height // 4 : height // 2, width // 4 : width // 2] += 40
    scene += rng.normal(0, 6, scene.shape)
    hr = scene.clip(0, 255).astype(np.uint8)
    restored = (scene + rng.normal(0, 9, scene.shape)).clip(0, 255).astype(np.uint8)
    blocks = hr.reshape(height // _SCALE, _SCALE, width // _SCALE, _SCALE, 3)
    images = Images(restored, hr, blocks.mean(axis=(1, 3)).round().astype(np.uint8))
    for image in (images.restored, images.hr, images.lr):
        image.flags.writeable = False
    return images


def subject_of(metric: Metric) -> Subject:
    """Build a metric for its checks, on the CPU; without its weights, which are not downloaded, most are skipped.

    Raises:
        UserError: If it cannot be built, or what it builds cannot be called with three images.
    """
    registry: Registry[Metric] = Registry("metric", Metric)
    registry.hold(metric.id, metric)
    scorer = Scorer([metric.id], "cpu", registry, download=False)
    if not weights.missing(metric):
        for failure in scorer.lacking().values():
            raise UserError(failure.brief, failure.fix or "correct `build` of the metric")
    return Subject(metric, scorer)


def check_metric(name: str, registry: Registry[Metric] | None = None) -> list[Checked]:
    """Carry out all METRIC_CHECKS on an installed metric, on the CPU; nothing is downloaded.

    Raises:
        UserError: If there is no such metric, or it cannot be loaded or built.
    """
    return carry_out(METRIC_CHECKS, subject_of((metrics() if registry is None else registry).get(name)))


def _multiple(side: int) -> int:
    return -(-side // _SCALE) * _SCALE


def _side(metric: Metric) -> int:
    """Return the side of a square that the metric has a value for."""
    return _multiple(max(_SIDE, metric.min_side))


def _ordinary(subject: Subject) -> Images:
    return made_images(_side(subject.metric), _side(subject.metric))


def _metadata(subject: Subject) -> None:
    metric = subject.metric
    lacking = [name for name in ("title", "colour", "definition") if not getattr(metric, name)]
    expect(not lacking, f"empty: {', '.join(lacking)}")
    expect("\n" not in metric.definition, "definition has to be one line")


def _citation(subject: Subject) -> None:
    citation = subject.metric.citation
    if not citation:
        raise Skipped("none is given: bibliographies will lack it")
    expect(citation.startswith("@"), "citation has to be BibTeX, which begins with @")
    expect(citation.count("{") == citation.count("}"), "citation has braces without a partner")


def _identity(subject: Subject) -> None:
    version_of(subject.metric)  # raises where a module of it has no source


def _repeats(subject: Subject) -> None:
    images = _ordinary(subject)
    first = subject.value(images)
    expect(bool(np.isfinite(first)), f"the value of an ordinary image is {first}")
    with ThreadPoolExecutor(3) as pool:
        values = set(pool.map(lambda _: subject.value(images), range(6)))
    expect(values == {first}, f"the same image has the values {sorted({first, *values})} on several threads")


def _sizes(subject: Subject) -> None:
    least, side = _multiple(subject.metric.min_side), _side(subject.metric)
    for height, width in ((least, least), (side + 4, side + 36), (side, least)):
        try:
            subject.value(made_images(height, width))
        except Broken as why:
            raise Broken(f"{height}x{width}: {why}") from why


def _looks(subject: Subject) -> None:
    images = _ordinary(subject)
    value = subject.value(images)
    for name, image in zip(("restored", "hr", "lr"), images.handed(subject.metric), strict=True):
        if image is not None:
            other = Images(**{**vars(images), name: 255 - image[::-1]})
            expect(subject.value(other) != value, f"{name} is declared and not looked at: another one changes nothing")


def _direction(subject: Subject) -> None:
    if subject.metric.reference is not Reference.FULL:
        raise Skipped("the metric compares with no HR image")
    images = _ordinary(subject)
    perfect, noisy = subject.value(Images(images.hr, images.hr, images.lr)), subject.value(images)
    better = perfect >= noisy if subject.metric.direction is Direction.HIGHER else perfect <= noisy
    expect(better, f"the HR image itself gets {perfect:.6g}, a noisy one {noisy:.6g}: `direction` is the other one")


def _process(subject: Subject) -> None:
    with process_left_alone():
        subject.value(_ordinary(subject))


def _sets(subject: Subject) -> None:
    side = _side(subject.metric)
    with tempfile.TemporaryDirectory(prefix="isrbench-check-") as folder:
        sets: dict[str, list[Path]] = {"restored": [], "hr": []}
        for place in range(_SET):
            images = made_images(side + 4 * place, side)
            for name, paths in sets.items():
                paths.append(Path(folder, f"{place}-{name}.png"))
                write_png(paths[-1], getattr(images, name))
        first = subject.set_value(sets["restored"], sets["hr"])
        expect(bool(np.isfinite(first)), f"the value of an ordinary set is {first}")
        again = subject.set_value(sets["restored"], sets["hr"])
        expect(again == first, f"the same set has the values {first} and {again}")


METRIC_CHECKS: Checks[Subject] = {
    "title, colour and definition are there": _metadata,
    "the citation is BibTeX": _citation,
    "the code that computes it is part of its version": _identity,
    "a value is a finite number that repeats on any thread": _repeats,
    "odd sizes, and squares of its smallest side, have a value": _sizes,
    "it looks at every image that it declares to look at": _looks,
    "the HR image itself is not worse than a noisy one": _direction,
    "the process is left as it was": _process,
    "a value of a whole set is a finite number that repeats": _sets,
}
"""What has to hold, in words, and the function that finds out."""
