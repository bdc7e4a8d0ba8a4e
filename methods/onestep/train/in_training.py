"""An adapter in training as the method that ``isrbench eval`` would run.

What is restored here is what a later evaluation with the saved adapter and without further options restores, to the
rounding of float32: the same code, seed and order of operations, but for the adapter's branches, which run beside the
base here and are merged or folded into it there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor

from isrbench.harness.api.method import Method, Runtime
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.onestep.infer.method import OneStepMethod
from isrbench.methods.onestep.infer.prompts import make_prompter
from isrbench.methods.onestep.options import OneStepOptions, RoutedOptions
from isrbench.methods.onestep.train.config import TrainConfig
from isrbench.methods.onestep.train.degrade import SCALE
from isrbench.methods.onestep.train.step import Networks


def as_method(nets: Networks, config: TrainConfig) -> Method:
    """Return the adapter in training as a method with the options that ``isrbench eval`` has by default.

    It computes in float32, whatever the run's dtype, for so does an evaluation.
    """
    device = str(nets.base.device)
    options = RoutedOptions() if nets.estimator else OneStepOptions()
    base = replace(nets.base, autocast=None)
    prompter = make_prompter(options, config.prompt if base.text.takes_text else "", device)
    method = OneStepMethod(
        base, nets.adapter, options, Runtime(SCALE, device), nets.timestep, prompter,
        estimator=cast(Estimator, _AsTrained(nets)) if nets.estimator else None, colour_fix=config.colour_fix,
    )  # fmt: skip
    return cast(Method, method)


@dataclass(frozen=True)
class _AsTrained:
    """Stands for the severity estimator: gives what the routers see in training, also where that is a constant."""

    nets: Networks

    def estimate(self, lr: Tensor) -> Tensor:
        severity = self.nets.severity(lr)
        assert severity is not None
        return severity
