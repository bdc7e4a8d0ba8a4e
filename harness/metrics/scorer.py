"""Scores images: builds each metric once, reads each file once, turns whatever goes wrong into a row."""

from __future__ import annotations

import logging
import math
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from isrbench.harness.api.metric import ImageMetric, Metric, Reference, SetMetric, WeightFile
from isrbench.harness.api.registry import Registry
from isrbench.harness.api.registry import metrics as installed
from isrbench.harness.determinism import exclusive, make_deterministic, on_cpu
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb
from isrbench.harness.metrics import weights
from isrbench.harness.metrics.version import MetricVersion, version_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8] | UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Score:
    """One metric's value for one image or set."""

    metric: str
    value: float | None
    """None unless status is "ok"; may be infinite, never NaN."""
    status: str
    """"ok", "failed", "unavailable" (weights absent) or "no-reference" (there is no HR)."""
    error: str | None = None
    """The reason, or the traceback of an unexpected failure."""


class Scorer:
    """Metrics, each built at its first use and shared by all threads.

    A value depends on the files and the device only: not on the thread, on order, or on other metrics.

    Args:
        metrics: Ids; the order is kept.
        device: Torch device string.
        registry: Where the ids are looked up; None = the installed metrics.

    Raises:
        UserError: If an id is unknown or given twice.
    """

    def __init__(self, metrics: Sequence[str], device: str = "cpu", registry: Registry[Metric] | None = None) -> None:
        twice = sorted({m for m in metrics if list(metrics).count(m) > 1})
        if twice:
            raise UserError(f"metric '{twice[0]}' is given twice", "name each metric once")
        self.device = device
        known = installed() if registry is None else registry
        self._metrics = {id: known.get(id) for id in metrics}
        self._built: dict[str, ImageMetric | SetMetric | UserError] = {}
        self._versions: dict[str, MetricVersion] = {}
        self._building = threading.Lock()

    @property
    def image_metrics(self) -> tuple[str, ...]:
        """Metrics with one value an image."""
        return tuple(id for id, m in self._metrics.items() if m.reference is not Reference.SET)

    @property
    def set_metrics(self) -> tuple[str, ...]:
        """Metrics with one value for the whole set."""
        return tuple(id for id, m in self._metrics.items() if m.reference is Reference.SET)

    def unavailable(self) -> dict[str, str]:
        """Make sure of every metric's weights, fetching what is absent; the reasons of those that stay away."""
        reasons = {}
        for id, metric in self._metrics.items():
            try:
                weights.ensure(metric)
            except UserError as error:
                reasons[id] = str(error)
        return reasons

    def lacking(self) -> dict[str, str]:
        """Build every metric, strictly: the reasons of those that cannot compute, or not with the published weights."""
        reasons = {}
        for id, metric in self._metrics.items():
            built = self._function(id)
            broken = weights.damaged(metric)
            if isinstance(built, UserError):
                reasons[id] = str(built)
            elif broken:
                reasons[id] = str(_damaged(metric, broken))
        return reasons

    def version(self, metric: str) -> MetricVersion:
        """Return what computes the metric's values: as it was built, or as it would be now."""
        return self._versions.get(metric) or version_of(self._metrics[metric])

    def definitions(self) -> dict[str, dict[str, Any]]:
        """What each value depends on, for the manifest: definition, colour space, the weights' sha256, the version."""
        return {
            id: {
                "direction": m.direction.value,
                "reference": m.reference.value,
                "colour": m.colour,
                "definition": m.definition,
                "weights": {file.path: weights.digest(file) for file in m.weights},
                "key": self.version(id).key,
            }
            for id, m in self._metrics.items()
        }

    def score(
        self, restored: Path, reference: Path | None, metrics: Sequence[str] | None = None, lr: Path | None = None
    ) -> list[Score]:
        """Score one image file; safe to call from several threads.

        Args:
            restored: The PNG that was written.
            reference: The HR file, or None where the set has none.
            metrics: Some of :attr:`image_metrics`, by default all.
            lr: The LR file, for metrics that look at it.

        Returns:
            One score a metric, in the order asked for. Nothing is raised for a bad image or metric.
        """
        wanted = [self._metrics[id] for id in (self.image_metrics if metrics is None else metrics)]
        compared = any(m.reference is Reference.FULL for m in wanted)
        pixels = _read(restored) if wanted else None
        target = _read(reference) if reference is not None and compared else None
        small = _read(lr) if lr is not None and any(m.uses_lr for m in wanted) else None
        return [self._score_one(metric, pixels, target, small) for metric in wanted]

    def score_set(self, metric: str, restored: Sequence[Path], references: Sequence[Path | None]) -> Score:
        """Compare the run's PNGs with their HR files as two sets, by one of :attr:`set_metrics`."""
        known = [path for path in references if path is not None]
        if len(known) < len(references):
            return Score(metric, None, "no-reference")
        compute = self._function(metric)
        if isinstance(compute, UserError):
            return _refused(metric, compute)
        return self._guarded(metric, lambda: cast(SetMetric, compute)(restored, known))

    def score_pairs(self, pairs: Iterable[tuple[Path, Path | None]], workers: int = 1) -> list[list[Score]]:
        """:meth:`score` over many (restored, HR) files on ``workers`` threads, in the order given."""
        if not on_cpu(self.device):
            make_deterministic(self.device)
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda pair: self.score(*pair), pairs))

    def _score_one(self, metric: Metric, restored: Pixels | None, reference: Pixels | None, lr: Pixels | None) -> Score:
        full = metric.reference is Reference.FULL
        if full and reference is None:
            return Score(metric.id, None, "no-reference")
        given = (restored, reference if full else None, lr if metric.uses_lr else None)
        for pixels in given:
            if isinstance(pixels, UserError):
                return Score(metric.id, None, "failed", str(pixels))
        compute = self._function(metric.id)
        if isinstance(compute, UserError):
            return _refused(metric.id, compute)
        return self._guarded(metric.id, lambda: cast(Any, compute)(*given))

    def _function(self, id: str) -> ImageMetric | SetMetric | UserError:
        """The metric, built on first use; what stands in its way is remembered and not tried again."""
        with self._building:
            if id not in self._built:
                with exclusive(self.device):
                    self._built[id] = self._build(self._metrics[id])
                self._versions[id] = version_of(self._metrics[id])
            return self._built[id]

    def _build(self, metric: Metric) -> ImageMetric | SetMetric | UserError:
        try:
            weights.ensure(metric)
            return metric.make(self.device)
        except UserError as error:
            log.info("%s is unavailable: %s", metric.id, error)
            return error
        except Exception:
            broken = weights.damaged(metric)
            if broken:
                return _damaged(metric, broken)
            return UserError(f"{metric.id} cannot be built:\n{traceback.format_exc()}")

    def _guarded(self, metric: str, compute: Callable[[], Any]) -> Score:
        try:
            with exclusive(self.device):
                value = float(compute())
        except UserError as error:
            return Score(metric, None, "failed", str(error))
        except Exception:
            log.info("%s failed", metric, exc_info=True)
            return Score(metric, None, "failed", traceback.format_exc())
        if math.isnan(value):
            reason = f"{metric} gave NaN: too little structure in the image, or too small"
            return Score(metric, None, "failed", reason)
        return Score(metric, value, "ok")


def _read(path: Path) -> Pixels:
    try:
        return read_rgb(path)
    except UserError as error:
        return error
    except (OSError, SyntaxError) as error:
        return UserError(f"{path} is damaged: {error}", "copy the file again from its source")


def _refused(metric: str, error: UserError) -> Score:
    status = "unavailable" if isinstance(error, weights.WeightsUnavailable) else "failed"
    return Score(metric, None, status, str(error))


def _damaged(metric: Metric, files: Sequence[WeightFile]) -> weights.WeightsUnavailable:
    names = ", ".join(str(weights.location(f)) for f in files)
    fetch = f"isrbench fetch weights --metric {metric.id}"
    return weights.WeightsUnavailable(f"{metric.id}: {names} is not the published file", fetch)
