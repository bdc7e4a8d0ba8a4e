"""Frozen LoRAs of published methods: one or several beside each layer, switched by name, merged or apart.

    y = W0 x + sum over the LoRAs that are on: scale * B (A x)

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021), equation 3. Of a convolution, A has the
base's geometry and B is 1x1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.adapter import BaseAdapter, wrap_layers


@dataclass(frozen=True)
class Lora:
    """One LoRA: where it sits, and its size."""

    layers: tuple[str, ...]
    """``vae.`` or ``unet.`` and the module's dotted name."""
    rank: int
    scale: float
    """peft's alpha / rank."""


@dataclass(frozen=True)
class LoraConfig:
    """The LoRAs of a method by name."""

    loras: Mapping[str, Lora] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LoraConfig:
        """Read what :meth:`to_json` gave."""
        return cls({name: Lora(tuple(v["layers"]), v["rank"], v["scale"]) for name, v in values.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the LoRAs as JSON values."""
        loras = self.loras.items()
        return {name: {"layers": list(v.layers), "rank": v.rank, "scale": v.scale} for name, v in loras}


class LoraLayer(nn.Module):
    """A linear map or convolution with its LoRAs, which start at zero and are float32 whatever the base is.

    Raises:
        UserError: If the base is neither, or has groups or a padding other than zeros.
    """

    def __init__(self, base: nn.Module, loras: Mapping[str, Lora]) -> None:
        super().__init__()
        plain = isinstance(base, nn.Linear) or (
            isinstance(base, nn.Conv2d) and base.groups == 1 and base.padding_mode == "zeros"
        )
        if not plain:
            raise UserError(f"a LoRA cannot stand beside a {base}", "use a base of plain Linear and Conv2d layers")
        # The base comes first: libraries ask the first parameter of a model for its type.
        self.base: Any = base
        self.scales = {name: lora.scale for name, lora in loras.items()}
        weight = self.base.weight
        ones = (1,) * (weight.ndim - 2)

        def zeros(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(shape, device=weight.device), requires_grad=False)

        self.A = nn.ParameterDict({name: zeros(lora.rank, *weight.shape[1:]) for name, lora in loras.items()})
        self.B = nn.ParameterDict({name: zeros(len(weight), lora.rank, *ones) for name, lora in loras.items()})
        self.on: tuple[str, ...] = ()
        self.pristine: Tensor | None = None
        """The base's weight while a merged one stands in for it."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to (B, ...)."""
        y = self.base(x)
        if self.pristine is not None:
            return y
        for name in self.on:
            y = y + (self.scales[name] * self._branch(x.to(self.A[name].dtype), name)).to(y.dtype)
        return y

    @torch.no_grad()
    def settle(self, on: Iterable[str], merge: bool) -> None:
        """Switch on those of the named LoRAs that this layer has, and merge them where it is asked for.

        Merged weights are made of the pristine one in float32, in the base's own type.
        """
        if self.pristine is not None:
            self.base.weight.data, self.pristine = self.pristine, None
        self.on = tuple(name for name in on if name in self.scales)
        if not (merge and self.on):
            return
        pristine = self.base.weight.data
        weight = pristine.float()
        for name in self.on:
            delta = self.B[name].flatten(1) @ self.A[name].flatten(1)
            weight = weight + self.scales[name] * delta.view_as(pristine)
        self.base.weight.data = weight.to(pristine.dtype)
        self.pristine = pristine

    def cost(self) -> int:
        """Return the MACs of the LoRAs that are on at one output position: their numbers of parameters."""
        return sum(self.A[name].numel() + self.B[name].numel() for name in self.on)

    def _branch(self, x: Tensor, name: str) -> Tensor:
        a, b = self.A[name], self.B[name]
        if a.ndim == 2:
            return F.linear(F.linear(x, a), b)
        return F.conv2d(F.conv2d(x, a, None, self.base.stride, self.base.padding, self.base.dilation), b)


class LoraAdapter(BaseAdapter):
    """Frozen LoRAs in a UNet and a VAE; made by :func:`attach`. All are on and apart from the base at first."""

    def __init__(self, models: dict[str, nn.Module], layers: dict[str, LoraLayer], config: LoraConfig) -> None:
        super().__init__(models, layers)
        self.config = config
        self._layers = layers
        self._on = tuple(config.loras)
        self._enabled = True
        self._merge = False
        self._settle()

    def use(self, *names: str) -> None:
        """Switch on these LoRAs and no other."""
        if names != self._on:
            self._on = names
            self._settle()

    def set_enabled(self, enabled: bool) -> None:
        """Switch the LoRAs on or off as a whole; off = the plain base."""
        self._enabled = enabled
        self._settle()

    def for_inference(self, *, merge: bool = True) -> None:
        """Merge the LoRAs that are on into stand-in weights; the pristine ones are kept beside them.

        Call it with the models in their final dtype and on their final device.
        """
        self._merge = merge
        self._settle()

    def for_training(self) -> None:
        """Put the pristine weights back; the LoRAs stay frozen."""
        self.for_inference(merge=False)

    def detach(self) -> None:
        """Put the base's own modules back, bit-identical."""
        self.for_inference(merge=False)
        super().detach()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return all parameters by stable name: ``unet.<module>.<lora>.A``, ``.B``."""
        return {
            f"{layer}.{name}.{which}": matrices[name]
            for layer, module in self._layers.items()
            for name in module.scales
            for which, matrices in (("A", module.A), ("B", module.B))
        }

    def parameters_changed(self) -> None:
        """Merge again where the LoRAs are merged."""
        self._settle()

    def macs(self, positions: Mapping[str, int], image: int = 0) -> int:
        """Count the LoRAs that are on; see ``Adapter.macs``."""
        return sum(positions[name] * layer.cost() for name, layer in self._layers.items())

    def active_parameters(self, image: int = 0) -> int:
        """Return the number of parameters of the LoRAs that are on."""
        return sum(layer.cost() for layer in self._layers.values())

    def _settle(self) -> None:
        for layer in self._layers.values():
            layer.settle(self._on if self._enabled else (), self._merge)


def attach(unet: nn.Module, vae: nn.Module, config: LoraConfig, seed: int) -> LoraAdapter:
    """Attach LoRAs that are zero; ``load_state_dict`` gives them their values.

    Args:
        unet: A diffusers ``UNet2DConditionModel`` (the meta device will do).
        vae: A diffusers ``AutoencoderKL``.
        config: The LoRAs.
        seed: Decides nothing: there is nothing to draw.
    """
    models = {"vae": vae, "unet": unet}
    on = {layer: None for lora in config.loras.values() for layer in lora.layers}
    targets = {part: [name.removeprefix(f"{part}.") for name in on if name.startswith(f"{part}.")] for part in models}

    def wrapped(layer: str, base: nn.Module) -> LoraLayer:
        return LoraLayer(base, {name: lora for name, lora in config.loras.items() if layer in lora.layers})

    return LoraAdapter(models, wrap_layers(models, targets, wrapped), config)
