"""VSD's regulariser: the frozen teacher plus a LoRA of its own, which follows the generator's distribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from isrbench.methods.onestep.base.targets import unet_targets

_NAME = "regulariser"


class Regulariser:
    """A LoRA on the UNet that is off but inside :meth:`enabled`. Goes in before the method's own adapter.

    Args:
        unet: The plain frozen UNet.
        rank: Rank of the LoRA; OSEDiff's is the generator's.
        seed: Decides the start; at first the regulariser equals the teacher.
    """

    def __init__(self, unet: UNet2DConditionModel, rank: int, seed: int) -> None:
        config = LoraConfig(r=rank, init_lora_weights="gaussian", target_modules=unet_targets(unet))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            unet.add_adapter(config, adapter_name=_NAME)
        self._layers = {name: m for name, m in unet.named_modules() if isinstance(m, LoraLayer)}
        self._parameters = {
            f"{name}.{part}": getattr(layer, part)[_NAME].weight
            for name, layer in self._layers.items()
            for part in ("lora_A", "lora_B")
        }
        self.switch(False)

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """Make the UNet the regulariser: for a forward pass and its backward pass."""
        self.switch(True)
        try:
            yield
        finally:
            self.switch(False)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by stable name."""
        return self._parameters

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of the parameters, on the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what ``state_dict`` returned."""
        for name, parameter in self._parameters.items():
            parameter.copy_(state[name])

    def switch(self, on: bool) -> None:
        """Make the UNet the regulariser, or not, until the next switch."""
        for layer in self._layers.values():
            layer.enable_adapters(on)
