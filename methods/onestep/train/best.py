"""The best validation of a run: what decides it, and the adapter that it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from isrbench.harness.api.metric import Direction
from isrbench.harness.errors import UserError


@dataclass(frozen=True)
class Best:
    """The adapter of the best validation so far; a training state holds it, so that a resumed run has it again."""

    value: float
    step: int
    """Optimizer steps it was trained for."""
    state: dict[str, Tensor]
    """What was validated: the adapter's running mean, or its weights, on the CPU."""


@dataclass(frozen=True)
class Criterion:
    """What decides which of two validations is better."""

    curves: tuple[str, ...]
    """Names in ``curves.csv``; their mean counts."""
    direction: Direction

    def better(self, validation: Mapping[str, float], best: Best | None) -> float | None:
        """Return the validation's value where it is better than the best so far; of two equal ones the earlier stays.

        None as well where an image had no value.
        """
        found = [validation[name] for name in self.curves if name in validation]
        if len(found) < len(self.curves):
            return None
        value = sum(found) / len(found)
        if best is None:
            return value
        higher = self.direction is Direction.HIGHER
        return value if (value > best.value if higher else value < best.value) else None


def make_criterion(text: str, directions: Mapping[str, Direction], levels: Sequence[str], dataset: str) -> Criterion:
    """Read ``validation.best``.

    Args:
        text: ``METRIC`` or ``METRIC@WHERE``, where is a level or the data set's id.
        directions: The metrics of the validation, and which way is better.
        levels: The levels of its crops, as curves name them; empty without crops.
        dataset: The id of its data set, or empty.

    Raises:
        UserError: If the validation has no such metric, level or data set.
    """
    metric, at, where = text.partition("@")
    if metric not in directions:
        raise UserError(
            f"validation.best is {text}, but the validation measures {', '.join(directions) or 'nothing'}",
            f"add {metric} to validation.metrics, or choose one of these",
        )
    places = [*levels, *([dataset] if dataset else [])]
    if at and where not in places:
        raise UserError(
            f"validation.best is {text}, but the validation looks at {', '.join(places)}",
            f"choose one of {', '.join(f'{metric}@{place}' for place in places)}",
        )
    chosen = [where] if at else [dataset] if dataset else levels
    return Criterion(tuple(f"validation/{metric}@{place}" for place in chosen), directions[metric])
