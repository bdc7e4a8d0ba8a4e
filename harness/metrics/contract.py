"""What the function that a metric builds has to be, checked before the first image."""

from __future__ import annotations

import inspect

from isrbench.harness.api.metric import ImageMetric, Metric, Reference, SetMetric
from isrbench.harness.errors import UserError


def check_call(metric: Metric, built: ImageMetric | SetMetric) -> None:
    """Refuse a function of an image metric that does not take three images.

    Raises:
        UserError: If it takes two, as image metrics did before they could look at the LR, or any other number.
    """
    if metric.reference is Reference.SET:
        return
    try:
        inspect.signature(built).bind(None, None, None)
    except ValueError:  # written in C, and says nothing of its parameters: the first call will tell
        return
    except TypeError:
        raise UserError(
            f"{metric.id} builds a function that cannot be called with (restored, hr, lr), three images, as image "
            "metrics are since they may look at the LR",
            "give the function a third parameter, lr: it is None unless the metric says uses_lr=True",
        ) from None
