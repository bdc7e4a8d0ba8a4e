"""What an adapter's file says of its training and restoring has to keep: colour fix and severity estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, get_args

from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.onestep.adapter import Estimators
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint
from isrbench.methods.onestep.options import ColourFix, MixtureOptions, OneStepOptions


class SeverityEstimator(Protocol):
    """A method's own network that does what :class:`isrbench.harness.severity.estimator.Estimator` does."""

    @property
    def id(self) -> str:
        """Identifies all that decides an estimate."""
        ...

    def estimate(self, lr: Tensor) -> Tensor:
        """Return float32 (B, 7) in [0, 1], in the order of DIMENSIONS, for float (B, 3, H, W) in [0, 1]."""
        ...


def trained_colour_fix(options: OneStepOptions, checkpoint: AdapterCheckpoint, path: Path) -> ColourFix:
    """Return the colour fix that the adapter was validated with, or the one that the user insists on.

    Raises:
        UserError: If the adapter's file names one that there is not.
    """
    if options.colour_fix != "adapter":
        return options.colour_fix
    trained = checkpoint.training.get("colour_fix", "adain")
    if trained not in get_args(ColourFix):
        raise UserError(f"{path} was trained for the unknown colour fix '{trained}'", "add -o colour_fix=adain")
    return trained


def trained_estimator(
    options: MixtureOptions, checkpoint: AdapterCheckpoint, path: Path, device: str, estimators: Estimators
) -> Estimator:
    """Return the severity estimator that the adapter's routers were trained with, or the one that the user insists on.

    Raises:
        UserError: If the adapter's file does not name one, or that one has changed since.
    """
    if options.estimator is not None:
        return estimators(options.estimator, device, options.logit_scale)
    if checkpoint.training.get("routed_by") == "constant":
        raise UserError(
            f"{path} was trained with a severity of 0.5 in every dimension, whatever the image",
            "add -o severities=FILE with that for each image",
        )
    trained = checkpoint.training.get("estimator")
    if trained is None:
        raise UserError(
            f"{path} does not say with which severity estimator it was trained", "name it: -o estimator=tiny"
        )
    scale: Any = checkpoint.training.get("logit_scale")
    estimator = estimators(trained, device, scale)
    known = checkpoint.training.get("estimator_id")
    if known is not None and known != estimator.id:
        raise UserError(
            f"{path} was trained with severity estimator '{trained}', but the one of this name has changed since",
            f"train the adapter again, or insist on it with -o estimator={trained}"
            + (f" -o logit_scale={scale}" if scale is not None else ""),
        )
    return estimator
