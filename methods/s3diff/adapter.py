"""S3Diff's LoRAs as an adapter: routed once an image by two degradation scores, and folded into the base.

Source: Zhang et al., "Degradation-Guided One-Step Image Super-Resolution with Diffusion Priors" (2024), and its
published code: targets, ranks 32 and 16, peft's default alpha of 8, and a first convolution that is trained whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.adapter import AdapterSpec, BaseAdapter, wrap_layers
from isrbench.methods.onestep.base.targets import in_order, unet_targets, vae_targets
from isrbench.methods.s3diff.degradation import SCORED
from isrbench.methods.s3diff.layers import ModulatedLayer
from isrbench.methods.s3diff.modulation import Modulation, block_of

_HOME = "s3diff"
"""Under which name the UNet holds what is not a LoRA, so that moving it moves that too."""
_FREQUENCIES = "modulation.frequencies"


@dataclass(frozen=True)
class S3DiffConfig:
    """Sizes; the defaults are S3Diff's."""

    rank_unet: int = 32
    rank_vae: int = 16
    alpha: float = 8.0
    """The branch is scaled by alpha / rank. The authors leave peft's default of 8."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> S3DiffConfig:
        """Read what ``dataclasses.asdict`` gave."""
        return cls(**values)

    @property
    def ranks(self) -> dict[str, int]:
        """Return the ranks by model."""
        return {"vae": self.rank_vae, "unet": self.rank_unet}


class S3DiffAdapter(BaseAdapter):
    """Modulated LoRAs under :class:`isrbench.methods.onestep.adapter.Adapter`; made by :func:`attach`. Frozen.

    Each image's severity decides M of each block, and nothing else: all ranks are on for every image.
    """

    def __init__(self, models: dict[str, nn.Module], layers: dict[str, ModulatedLayer], config: S3DiffConfig) -> None:
        super().__init__(models, layers)
        self.config = config
        self._layers = layers
        self._blocks = {name: (name.partition(".")[0], block_of(name)) for name in layers}
        self._enabled, self._merge = True, False
        self._scores: Tensor | None = None
        self._first: Any = models["unet"].get_submodule("conv_in")
        self._base_first = [parameter.data for parameter in self._first.parameters()]
        home: Any = models["unet"].get_submodule(_HOME)
        self._modulation: Modulation = home["modulation"]
        self._own_first: nn.Module = home["conv_in"]
        self._swap_first()

    def route(self, severity: Tensor | None) -> None:
        """Mix the ranks for the following forward passes; with ``for_inference``, fold them for an image alone.

        Args:
            severity: (B, 7) in [0, 1]; of it blur and noise are read. B is 1 or the batch of every following forward
                pass; a single row serves a batch of any size, such as the tiles of one image.

        Raises:
            ValueError: If it is missing.
        """
        if severity is None:
            raise ValueError("S3Diff needs severity (B, 7)")
        scores = severity[:, list(SCORED)].float()
        known = None if self._scores is None or scores.is_meta else self._scores
        if known is not None and torch.equal(scores, known):
            return
        self._scores = scores
        with torch.no_grad():
            mixes = self._modulation(scores)
        for name, layer in self._layers.items():
            part, block = self._blocks[name]
            layer.mix = mixes[part][:, block]
        self._settle()

    def set_enabled(self, enabled: bool) -> None:
        """Switch LoRAs and the first convolution on or off; off = the plain base."""
        self._enabled = enabled
        self._swap_first()
        self._settle()

    def for_inference(self, *, merge: bool = True) -> None:
        """Fold from the next ``route`` on where it is of one image; without ``merge``, run apart from the base."""
        self._merge = merge
        self.parameters_changed()

    def for_training(self) -> None:
        """Run apart from the base from the next ``route`` on; all stays frozen."""
        self.for_inference(merge=False)

    def detach(self) -> None:
        """Put the base's own modules back, bit-identical."""
        self.set_enabled(False)
        super().detach()
        delattr(self._models["unet"], _HOME)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what the authors trained: ``unet.<module>.A``, ``.B``, ``unet.conv_in.*`` whole, ``modulation.*``."""
        named: dict[str, nn.Parameter] = {}
        for name, layer in self._layers.items():
            named[f"{name}.A"], named[f"{name}.B"] = layer.A, layer.B
        named |= {f"unet.conv_in.{name}": parameter for name, parameter in self._own_first.named_parameters()}
        return named | {f"modulation.{name}": parameter for name, parameter in self._modulation.named_parameters()}

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of all parameters and of the Fourier frequencies by stable name, on the CPU."""
        return super().state_dict() | {_FREQUENCIES: self._modulation.frequencies.cpu().clone()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what ``state_dict`` returned; see ``BaseAdapter.load_state_dict``."""
        frequencies = state.get(_FREQUENCIES)
        if frequencies is None or frequencies.shape != self._modulation.frequencies.shape:
            raise UserError(
                f"the adapter's state has no '{_FREQUENCIES}' of {tuple(self._modulation.frequencies.shape)}",
                "pass a checkpoint of the same config and base",
            )
        self._modulation.frequencies.copy_(frequencies)
        super().load_state_dict({name: tensor for name, tensor in state.items() if name != _FREQUENCIES})

    def parameters_changed(self) -> None:
        """Forget the last route: what was folded is stale."""
        self._scores = None
        for layer in self._layers.values():
            layer.unfold()
            layer.mix = None
        self._swap_first()

    def traces(self) -> tuple[RoutingTrace, ...]:
        """Return one trace for each image of the last ``route``: every rank of every layer, whatever the image."""
        if self._scores is None:
            raise RuntimeError("call the adapter's route(severity) first")
        ranks = tuple(layer.rank for layer in self._layers.values())
        return (RoutingTrace(self.layers, ranks, (0,) * len(ranks)),) * len(self._scores)

    def macs(self, positions: Mapping[str, int], image: int = 0) -> int:
        """Count A, M and B of every layer; see ``Adapter.macs``. The first convolution costs what the base's does."""
        return sum(positions[name] * layer.cost for name, layer in self._layers.items())

    def folding_macs(self) -> int:
        """Return the MACs of folding every layer, once an image."""
        return sum(layer.folding_cost for layer in self._layers.values())

    def _settle(self) -> None:
        alone = self._scores is not None and len(self._scores) == 1
        for layer in self._layers.values():
            layer.enabled = self._enabled
            layer.unfold()
            if self._enabled and self._merge and alone:
                layer.fold()

    def _swap_first(self) -> None:
        """Put the trained first convolution in the place of the base's, or the base's back."""
        for parameter, pristine, own in zip(
            self._first.parameters(), self._base_first, self._own_first.parameters(), strict=True
        ):
            parameter.data = own.data.to(pristine.dtype) if self._enabled else pristine


def attach(unet: nn.Module, vae: nn.Module, config: S3DiffConfig, seed: int) -> S3DiffAdapter:
    """Attach fresh LoRAs: 257 + 31 modules on SD-Turbo, all that the family adapts but ``conv_in`` and ``quant_conv``.

    Args:
        unet: A diffusers ``UNet2DConditionModel`` (the meta device will do).
        vae: A diffusers ``AutoencoderKL``.
        config: Sizes.
        seed: Decides the start of A and of the modulation; B starts at zero, so the model equals its base.

    Raises:
        UserError: If a target is no plain layer, or the base has more scales than S3Diff.
    """
    models = {"vae": vae, "unet": unet}
    generator = torch.Generator().manual_seed(seed)

    def wrapped(name: str, base: nn.Module) -> ModulatedLayer:
        rank = config.ranks[name.partition(".")[0]]
        return ModulatedLayer(base, rank, config.alpha / rank, generator)

    layers = wrap_layers(models, targets(unet, vae), wrapped)
    first: Any = unet.get_submodule("conv_in")
    device = first.weight.device
    own = nn.Conv2d(first.in_channels, first.out_channels, first.kernel_size, bias=first.bias is not None)
    for mine, its in zip(own.parameters(), first.parameters(), strict=True):
        mine.requires_grad_(False)
        if not its.is_meta:
            mine.copy_(its)
    unet.add_module(
        _HOME, nn.ModuleDict({"modulation": Modulation(config.ranks, generator), "conv_in": own}).to(device)
    )
    return S3DiffAdapter(models, layers, config)


def targets(unet: nn.Module, vae: nn.Module) -> dict[str, list[str]]:
    """Name the modules that carry a LoRA, by model, in the order of execution."""
    return {
        "vae": in_order([name for name in vae_targets(vae) if name != "quant_conv"]),
        "unet": in_order([name for name in unet_targets(unet) if name != "conv_in"]),
    }


SPEC = AdapterSpec(
    "s3diff",
    S3DiffConfig(),
    attach,
    source="s3diff.pkl (hf download zhangap/S3Diff s3diff.pkl), assets/mm-realsr/de_net.pth of "
    "github.com/ArcticHare105/S3Diff for -o de_net=FILE, and SD-Turbo (hf download stabilityai/sd-turbo)",
)
