"""One value of one metric: what every score of a run goes through, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.metric import ImageMetric, Metric, Reference, SetMetric
from isrbench.harness.determinism import exclusive
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def image_value(
    metric: Metric,
    compute: ImageMetric,
    restored: NDArray[np.uint8],
    hr: NDArray[np.uint8] | None,
    lr: NDArray[np.uint8] | None,
    device: str,
) -> float:
    """Compute a metric of one image.

    Args:
        metric: Which one.
        compute: What ``metric.make(device)`` returned.
        restored: uint8 (H, W, 3).
        hr: The HR image; handed on only to metrics that compare with it.
        lr: The LR image; handed on only to metrics that look at it.
        device: Torch device string.

    Raises:
        UserError: If the value is NaN, or the image is too small to have one.
    """
    height, width = restored.shape[:2]
    small = UserError(
        f"{metric.id} needs sides of {metric.min_side} pixels or more, and the image is {width}x{height}",
        "leave such images out of the set, or choose other --metrics",
    )
    too_small = min(height, width) < metric.min_side
    given = (restored, hr if metric.reference is Reference.FULL else None, lr if metric.uses_lr else None)
    with exclusive(device):
        try:
            value = float(compute(*given))
        except UserError:
            raise
        except Exception as error:
            if too_small:  # what a network says of an image that its layers shrink to nothing helps nobody
                raise small from error
            if isinstance(error, AssertionError) and str(error):  # networks state so which sizes they take
                said = f"{metric.id} cannot be computed of an image of {width}x{height}: {error}"
                raise UserError(said, small.fix) from error
            raise
    if too_small and math.isnan(value):
        raise small
    return _checked(metric, value)


def set_value(
    metric: Metric, compute: SetMetric, restored: Sequence[Path], references: Sequence[Path], device: str
) -> float:
    """Compute a metric of two sets of files.

    Raises:
        UserError: If the value is NaN.
    """
    with exclusive(device):
        value = float(compute(restored, references))
    return _checked(metric, value)


def _checked(metric: Metric, value: float) -> float:
    if math.isnan(value):
        raise UserError(
            f"{metric.id} gave NaN: the image has too little structure, or is too small for it",
            "leave such images out of the set, or choose other --metrics",
        )
    return value
