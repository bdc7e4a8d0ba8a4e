"""What the function that a metric builds has to be, what it is handed, and what it may return."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Number
from typing import TYPE_CHECKING, Any, cast

from isrbench.harness.api.containment import contained
from isrbench.harness.api.metric import ImageMetric, Metric, Reference, SetMetric
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check_call(metric: Metric, built: ImageMetric | SetMetric) -> None:
    """Refuse a function of an image metric that does not take three images, and what is no function.

    Raises:
        UserError: If it takes two, as image metrics did before they could look at the LR, or any other number.
    """
    if not callable(built):
        raise UserError(
            f"{metric.id} builds a {type(built).__name__}, which is no function",
            "have build(device) return the function that computes the metric",
        )
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


def held(metric: Metric, built: ImageMetric | SetMetric) -> Callable[..., float]:
    """Return a metric's function held to its contract: it returns a plain number, and does not end the process.

    One of another package is handed copies: ``torch.from_numpy`` writes to an array that numpy calls read-only, and
    the next metric is handed the same pixels.

    The function returned raises what ``built`` raises; PluginExit for an exit, and UserError for a value that is no
    number. NaN passes: what it means is said by :mod:`isrbench.harness.metrics.scoring`.
    """
    module = metric.build if isinstance(metric.build, str) else getattr(metric.build, "__module__", None) or ""
    copied = metric.reference is not Reference.SET and module.partition(".")[0] != "isrbench"

    def call(*images: Any) -> float:
        given = [None if image is None else read_only(image.copy()) for image in images] if copied else images
        with contained():
            return _number(metric, cast(Callable[..., Any], built)(*given))

    return call


def read_only(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the same pixels as an array that no metric can write to: the next one is handed them, too."""
    view = image.view()
    view.flags.writeable = False
    return view


def _number(metric: Metric, value: Any) -> float:
    """Return a number of Python, numpy or torch as a plain one.

    ``float`` alone would read texts and take True for 1.

    Raises:
        UserError: If it is none, or too large for a float.
    """
    try:
        plain = value.item() if callable(getattr(value, "item", None)) else value
        if isinstance(plain, bool) or not isinstance(plain, Number) or isinstance(plain, complex):
            raise TypeError
        return float(plain)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        shown = repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
        raise UserError(
            f"{metric.id} returned {shown} ({type(value).__name__}), which is not a number",
            "report it to whoever provides the metric: its function has to return a float",
        ) from None
