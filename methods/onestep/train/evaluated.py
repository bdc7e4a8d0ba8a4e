"""An adapter in training as ``isrbench eval`` would run it once it is saved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from torch import Tensor

from isrbench.harness.api.method import Method, Runtime
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, load_adapter, save_adapter
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.options import MixtureOptions, OneStepOptions
from isrbench.methods.onestep.train.config import TrainConfig
from isrbench.methods.onestep.train.degrade import SCALE
from isrbench.methods.onestep.train.step import Networks


class Evaluated:
    """The method of an adapter file, with a base of its own: a copy of the networks in float32 on the run's device.

    The run's own networks would not do: they may compute in half precision, and lay out memory and add up the
    branches in another order, which moves pixels by a level here and there; PIQE, for one, has thresholds that feel it.

    Args:
        config: The run.
        spec: The adapter.
        nets: Routes: an image's severity is what the run's routers would see.
        checkpoint: The adapter as it would be saved.

    Raises:
        UserError: As :func:`isrbench.methods.onestep.infer.building.build_method`.
    """

    def __init__(self, config: TrainConfig, spec: AdapterSpec, nets: Networks, checkpoint: AdapterCheckpoint) -> None:
        self._dtype = torch.float16 if config.half else None
        with TemporaryDirectory() as folder:
            options = OneStepOptions(base=config.base, adapter=self._saved(folder, checkpoint))
            if config.data.prompts:  # an evaluation insists on prompts of its images' own, and here are none
                options = replace(options, prompts="fixed", prompt=config.prompt)
            if nets.estimator:
                options = MixtureOptions(**vars(options), estimator=config.estimator, logit_scale=config.logit_scale)
            runtime, own = Runtime(SCALE, str(nets.base.device)), cast(Estimator, _AsTrained(nets))
            self._method = build_method(options, runtime, spec, estimators=lambda *_: own)

    def method(self, checkpoint: AdapterCheckpoint) -> Method:
        """Return the method with another state of the adapter: what its file, ``half`` or not, would hold."""
        with TemporaryDirectory() as folder:
            self._method.adapter.load_state_dict(load_adapter(self._saved(folder, checkpoint)).state)
        return cast(Method, self._method)

    def _saved(self, folder: str, checkpoint: AdapterCheckpoint) -> Path:
        path = Path(folder, "adapter.safetensors")
        save_adapter(path, checkpoint, self._dtype)
        return path


@dataclass(frozen=True)
class _AsTrained:
    """Stands for the severity estimator: gives what the routers see in training, also where that is a constant."""

    nets: Networks

    def load(self) -> None:
        """Do nothing: the run has loaded it."""

    def estimate(self, lr: Tensor) -> Tensor:
        severity = self.nets.severity(lr)
        assert severity is not None
        return severity
