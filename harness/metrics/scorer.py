"""Scores images: builds each metric once, reads each file once, turns whatever goes wrong into a failed score."""

from __future__ import annotations

import logging
import pickle
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from isrbench.harness.api.metric import Direction, ImageMetric, Metric, Reference, SetMetric, WeightFile
from isrbench.harness.api.records import Failure, MetricRecord, ScoreStatus
from isrbench.harness.api.registry import Registry
from isrbench.harness.api.registry import metrics as installed
from isrbench.harness.api.tensor_files import asks_for
from isrbench.harness.determinism import exclusive, make_deterministic, on_cpu
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_hr, read_lr, read_rgb, write_png
from isrbench.harness.metrics import weights
from isrbench.harness.metrics.contract import check_call, held, read_only
from isrbench.harness.metrics.scoring import image_value, set_value
from isrbench.harness.metrics.sets import expand
from isrbench.harness.metrics.version import MetricVersion, marks, record_of, version_if_any, version_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Read = NDArray[np.uint8] | Failure | None

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """One metric's value for one image or set."""

    metric: str
    value: float | None
    """None unless status is OK; may be infinite, never NaN."""
    status: ScoreStatus
    failure: Failure | None = None
    """Why there is no value; None where there is one, or nothing more to say."""


class Scorer:
    """Metrics, each built at its first use and shared by all threads.

    A value depends on the files and the device only: not on the thread, on order, or on other metrics.

    Args:
        metrics: Ids, or names of sets (:mod:`isrbench.harness.metrics.sets`); the order is kept.
        device: Torch device string.
        registry: Where the ids are looked up; None = the installed metrics.
        download: Whether absent weights are downloaded where the network answers.

    Raises:
        UserError: If an id is unknown or given twice.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        device: str = "cpu",
        registry: Registry[Metric] | None = None,
        *,
        download: bool = True,
    ) -> None:
        known = installed() if registry is None else registry
        self.device = device
        self.download = download
        self._known = known
        self._metrics = {id: known.get(id) for id in expand(metrics)}
        self._built: dict[str, ImageMetric | SetMetric | Score] = {}
        self._versions: dict[str, MetricVersion] = {}
        self._building = threading.Lock()

    def extended(self, metrics: Sequence[str]) -> Scorer:
        """Return a scorer of further metrics as well; what has been built is shared."""
        more = Scorer([*self._metrics, *metrics], self.device, self._known, download=self.download)
        more._built, more._versions, more._building = self._built, self._versions, self._building
        return more

    @property
    def ids(self) -> tuple[str, ...]:
        """All metrics."""
        return tuple(self._metrics)

    @property
    def image_metrics(self) -> tuple[str, ...]:
        """Return the metrics with one value an image."""
        return tuple(id for id, m in self._metrics.items() if m.reference is not Reference.SET)

    @property
    def set_metrics(self) -> tuple[str, ...]:
        """Return the metrics with one value for the whole set."""
        return tuple(id for id, m in self._metrics.items() if m.reference is Reference.SET)

    def unavailable(self) -> dict[str, Failure]:
        """Fetch the weights that are absent, if that is wanted, and return why metrics lack theirs, by metric."""
        reasons = {}
        for id, metric in self._metrics.items():
            try:
                weights.ensure(metric, self.download)
            except UserError as error:
                reasons[id] = Failure.of(error)
        return reasons

    def lacking(self) -> dict[str, Failure]:
        """Build every metric, and return why some cannot compute, by metric."""
        reasons = {}
        for id in self._metrics:
            built = self._function(id)
            if isinstance(built, Score):
                assert built.failure is not None
                reasons[id] = built.failure
        return reasons

    def remarks(self) -> list[str]:
        """Return what to know about the weights of metrics: files that are not the published ones, or may not be."""
        said = []
        for id, metric in self._metrics.items():
            if wrong := weights.not_published(metric.weights):
                said.append(f"{id}: {wrong}; {weights.fetch_command([id])}")
            elif mark := marks(metric, {file.path: weights.digest(file) for file in metric.weights}):
                said.append(f"{id}: {mark}")
        return said

    def version(self, metric: str) -> MetricVersion:
        """Return what computes the metric's values: as it was built, or as it would be now."""
        return self._versions.get(metric) or version_if_any(self._metrics[metric])

    def definitions(self) -> dict[str, MetricRecord]:
        """Return what the values of each metric depend on, for the manifest, by metric."""
        return {id: record_of(metric, self.version(id)) for id, metric in self._metrics.items()}

    def score(
        self,
        restored: Path,
        reference: Path | None,
        metrics: Sequence[str] | None = None,
        lr: Path | None = None,
        *,
        hr_hash: str | None = None,
        lr_hash: str | None = None,
        hr_size: tuple[int, int] | None = None,
    ) -> list[Score]:
        """Score one image file; safe to call from several threads.

        Args:
            restored: The PNG that was written.
            reference: The HR file, or None where the set has none.
            metrics: Some of :attr:`image_metrics`, by default all.
            lr: The LR file, for metrics that look at it; without it they fail.
            hr_hash: ``Pair.hr_hash``: another HR image fails what compares with it. None = any will do.
            lr_hash: ``Pair.lr_hash``, likewise.
            hr_size: ``Pair.hr_size``; None = the HR image as it is.

        Returns:
            One score a metric, in the order asked for. Nothing is raised for a bad image or metric.
        """
        wanted = [self._metrics[id] for id in (self.image_metrics if metrics is None else metrics)]
        compared = any(m.reference is Reference.FULL for m in wanted)
        pixels = _read(restored, read_rgb) if wanted else None
        hr = _read(reference, lambda path: read_hr(path, hr_hash, hr_size)) if reference and compared else None
        seen = any(m.uses_lr for m in wanted)
        small = _read(lr, lambda path: read_lr(path, lr_hash)) if lr is not None and seen else None
        return [self._score_one(metric, pixels, hr, small) for metric in wanted]

    def score_pixels(
        self, restored: NDArray[np.uint8], hr: NDArray[np.uint8] | None, lr: NDArray[np.uint8] | None = None
    ) -> list[Score]:
        """Score one image that is in memory, by all :attr:`image_metrics`: what :meth:`score` gives for its files.

        Args:
            restored: uint8 (H, W, 3).
            hr: The HR image, or None where there is none.
            lr: The LR image, for metrics that look at it; without it they fail.
        """
        return [self._score_one(self._metrics[id], restored, hr, lr) for id in self.image_metrics]

    def direction(self, metric: str) -> Direction:
        """Return which way is better."""
        return self._metrics[metric].direction

    def score_set(
        self,
        metric: str,
        restored: Sequence[Path],
        references: Sequence[Path | None],
        hr_hashes: Sequence[str | None] | None = None,
        hr_sizes: Sequence[tuple[int, int] | None] | None = None,
    ) -> Score:
        """Compare the run's PNGs with their HR files as two sets.

        Args:
            metric: One of :attr:`set_metrics`.
            restored: The PNGs.
            references: The HR files; None where the set has none.
            hr_hashes: ``Pair.hr_hash`` of each: another HR image fails the metric. None = any will do.
            hr_sizes: ``Pair.hr_size`` of each, with ``hr_hashes``. None = the HR images as they are.
        """
        known = [path for path in references if path is not None]
        if len(known) < len(references):
            return Score(metric, None, ScoreStatus.NO_REFERENCE)
        with tempfile.TemporaryDirectory(prefix="isrbench-hr-") as folder:
            for place, expected in enumerate(hr_hashes or ()):
                size = None if hr_sizes is None else hr_sizes[place]
                read = _read(known[place], lambda path, expected=expected, size=size: read_hr(path, expected, size))
                if isinstance(read, Failure):
                    return Score(metric, None, ScoreStatus.FAILED, read)
                if size is not None and read is not None:
                    known[place] = Path(folder) / f"{place:06d}.png"
                    write_png(known[place], read)
            compute = self._function(metric)
            if isinstance(compute, Score):
                return compute
            declared = self._metrics[metric]
            return _guarded(metric, lambda: set_value(declared, cast(SetMetric, compute), restored, known, self.device))

    def score_pairs(self, pairs: Iterable[tuple[Path, Path | None]], workers: int = 1) -> list[list[Score]]:
        """Score many (restored, HR) files by :meth:`score` on ``workers`` threads, in the order given."""
        if not on_cpu(self.device):
            make_deterministic(self.device)
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda pair: self.score(*pair), pairs))

    def _score_one(self, metric: Metric, restored: Read, hr: Read, lr: Read) -> Score:
        full = metric.reference is Reference.FULL
        if full and hr is None:
            return Score(metric.id, None, ScoreStatus.NO_REFERENCE)
        read = (restored, hr if full else None, lr if metric.uses_lr else None)
        for image in read:
            if isinstance(image, Failure):
                return Score(metric.id, None, ScoreStatus.FAILED, image)
        if metric.uses_lr and lr is None:
            missing = UserError(f"{metric.id} looks at the LR, and none was given", "give the LR with each image")
            return Score(metric.id, None, ScoreStatus.FAILED, Failure.of(missing))
        compute = self._function(metric.id)
        if isinstance(compute, Score):
            return compute
        given = cast(Any, [None if image is None else read_only(cast("NDArray[np.uint8]", image)) for image in read])
        return _guarded(metric.id, lambda: image_value(metric, cast(ImageMetric, compute), *given, device=self.device))

    def _function(self, id: str) -> ImageMetric | SetMetric | Score:
        """Return the metric, built on first use, or why it cannot be built, which is not tried again."""
        with self._building:
            if id not in self._built:
                with exclusive(self.device):
                    self._built[id] = self._build(self._metrics[id])
                self._versions[id] = version_if_any(self._metrics[id])
            return self._built[id]

    def _build(self, metric: Metric) -> ImageMetric | SetMetric | Score:
        try:
            version_of(metric)  # raises where its code has no source: no score could say what computed it
            weights.ensure(metric, self.download)
            with weights.read_as_data(metric.weights):
                built = metric.make(self.device)
            check_call(metric, built)
            return held(metric, built)
        except weights.WeightsUnavailable as error:
            log.info("%s is unavailable: %s", metric.id, error)
            return Score(metric.id, None, ScoreStatus.UNAVAILABLE, Failure.of(error))
        except UserError as error:
            return Score(metric.id, None, ScoreStatus.FAILED, Failure.of(error))
        except Exception as error:
            if isinstance(error, pickle.UnpicklingError) and (files := weights.unproven(metric.weights)):
                error = _not_read(metric, files, error)
            failure = Failure.of(error)
            log.info("%s cannot be built", metric.id, exc_info=True)
            message = f"{metric.id} cannot be built: {failure.message}"
            return Score(metric.id, None, ScoreStatus.FAILED, failure.model_copy(update={"message": message}))


def _read(path: Path, read: Callable[[Path], NDArray[np.uint8]]) -> Read:
    try:
        return read(path)
    except UserError as error:
        return Failure.of(error)


def _not_read(metric: Metric, files: Sequence[WeightFile], error: pickle.UnpicklingError) -> UserError:
    names, asked = ", ".join(str(weights.location(file)) for file in files), asks_for(error)
    why = f"holds more than weights ({asked})" if asked else "is damaged"
    message = f"{names} {why}, and no hash of it is published: it was not read, since that could run code"
    return UserError(message, weights.fetch_command([metric.id]))


def _guarded(metric: str, compute: Callable[[], float]) -> Score:
    try:
        return Score(metric, compute(), ScoreStatus.OK)
    except Exception as error:
        if not isinstance(error, UserError):
            log.info("%s failed", metric, exc_info=True)
        return Score(metric, None, ScoreStatus.FAILED, Failure.of(error))
