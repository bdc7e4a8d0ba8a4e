"""The dense LoRA of OSEDiff on peft's layers, under :class:`isrbench.methods.onestep.adapter.Adapter`.

Source: Wu et al., "One-Step Effective Diffusion Network for Real-World Image Super-Resolution" (2024), and its
published training code: targets, three UNet adapters and one of the VAE, rank 4, peft's default alpha of 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Conv2d as LoraConv2d
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.adapter import AdapterSpec, BaseAdapter, wrap_layers
from isrbench.methods.onestep.base.targets import unet_targets, vae_targets

_CHANGE = "change"


LARGEST = 1 << 16
"""The largest rank or alpha: wider than any layer, and no request for petabytes."""


@dataclass(frozen=True)
class DenseConfig:
    """Sizes of a dense LoRA; the defaults are OSEDiff's.

    Raises:
        UserError: If a rank or alpha is not positive, or a value of another type.
    """

    rank: int = 4
    """Rank on the UNet."""
    rank_vae: int | None = None
    """Rank on the VAE encoder; None = ``rank``."""
    alpha: float = 8.0
    """The branch is scaled by alpha / rank. OSEDiff leaves peft's default of 8."""
    train_conv_in: bool = True
    """Train the UNet's whole first convolution besides its LoRA, as OSEDiff does."""

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", *(() if self.rank_vae is None else ("rank_vae",))):
            value = getattr(self, name)
            whole = isinstance(value, int) or (name == "alpha" and isinstance(value, float))
            if isinstance(value, bool) or not whole or not 0 < value <= LARGEST:
                fix = f"set {name} to a positive number, {LARGEST} at most"
                raise UserError(f"dense LoRA config: {name} is {value!r}", fix)
        if not isinstance(self.train_conv_in, bool):
            raise UserError(f"dense LoRA config: train_conv_in is {self.train_conv_in!r}", "set it to true or false")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DenseConfig:
        """Read what ``dataclasses.asdict`` gave; fields that are left out keep their defaults.

        Raises:
            UserError: If a name is unknown or a value does not fit.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(f"dense LoRA config: unknown name '{name}'", f"known names: {', '.join(known)}")
        return cls(**values)


@dataclass
class _Branch:
    """One adapted layer."""

    layer: LoraLinear | LoraConv2d
    adapter: str
    pristine: Tensor | None = None
    """The base weight while a merged one stands in for it."""

    @property
    def base(self) -> nn.Linear | nn.Conv2d:
        return cast("nn.Linear | nn.Conv2d", self.layer.base_layer)

    @property
    def change(self) -> nn.Conv2d | None:
        return cast("nn.Conv2d | None", getattr(self.base, _CHANGE, None))

    def matrices(self) -> tuple[Tensor, Tensor]:
        return cast(
            "tuple[Tensor, Tensor]", tuple(m[self.adapter].weight for m in (self.layer.lora_A, self.layer.lora_B))
        )

    def merged(self) -> Tensor:
        """W0 + scaling * B A (+ the whole change), computed in float32, in the base's type."""
        a, b = (m.detach().float() for m in self.matrices())
        delta = self.layer.scaling[self.adapter] * (b.flatten(1) @ a.flatten(1))
        weight = self.base.weight.detach().float() + delta.view_as(self.base.weight)
        if self.change is not None:
            weight = weight + self.change.weight.detach().float()
        return weight.to(self.base.weight.dtype)


class DenseAdapter(BaseAdapter):
    """Dense LoRA branches; made by :func:`attach`. Its parameters live inside the UNet and the VAE."""

    def __init__(self, models: dict[str, nn.Module], branches: dict[str, _Branch], config: DenseConfig) -> None:
        super().__init__(models, {name: branch.layer for name, branch in branches.items()})
        self.config = config
        self._branches = branches
        self._enabled = True
        self._merge = False
        self._hooks = [
            b.base.register_forward_hook(self._add_change) for b in branches.values() if b.change is not None
        ]
        self._apply()

    def set_enabled(self, enabled: bool) -> None:
        """Switch all branches on or off; off = the plain base."""
        self._enabled = enabled
        self._apply()

    def for_inference(self, *, merge: bool = True) -> None:
        """Merge all branches into stand-in weights; the pristine ones are kept beside them.

        Call it with the models in their final dtype and on their final device.
        """
        self._merge = merge
        self._apply()

    def for_training(self) -> None:
        """Put the pristine weights back and run the branches apart from them."""
        self._merge = False
        self._apply()

    def detach(self) -> None:
        """Put the base's own modules back, bit-identical."""
        self._merge = False
        self._apply()
        for hook in self._hooks:
            hook.remove()
        super().detach()
        for branch in self._branches.values():
            if branch.change is not None:
                delattr(branch.base, _CHANGE)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by stable name: ``unet.<module>.A``, ``.B``.

        ``unet.conv_in.weight`` and ``.bias`` are trained and stored as their change from the base.
        """
        named: dict[str, nn.Parameter] = {}
        for name, branch in self._branches.items():
            a, b = branch.matrices()
            named[f"{name}.A"], named[f"{name}.B"] = cast(nn.Parameter, a), cast(nn.Parameter, b)
            if branch.change is not None:
                named |= {f"{name}.{part}": p for part, p in branch.change.named_parameters()}
        return named

    def parameters_changed(self) -> None:
        """Merge again where the branches are merged."""
        merge, self._merge = self._merge, False
        self._apply()
        self._merge = merge
        self._apply()

    def macs(self, positions: Mapping[str, int], image: int = 0) -> int:
        """Count all branches, ``conv_in``'s change as one more convolution; see ``Adapter.macs``."""
        return sum(positions[name] * _cost(branch) for name, branch in self._branches.items())

    @torch.no_grad()
    def _apply(self) -> None:
        """Bring every layer to the state that ``_enabled`` and ``_merge`` ask for."""
        stand_in = self._merge and self._enabled
        for branch in self._branches.values():
            if branch.pristine is not None and not stand_in:
                branch.base.weight.data = branch.pristine
                self._shift_bias(branch, -1)
                branch.pristine = None
            elif branch.pristine is None and stand_in:
                pristine = branch.base.weight.data
                branch.base.weight.data = branch.merged()
                self._shift_bias(branch, 1)
                branch.pristine = pristine
            branch.layer.enable_adapters(self._enabled and not stand_in)
            # peft freezes what it switches off; who trains is the trainer's business, not the switch's.
            for matrix in branch.matrices():
                matrix.requires_grad_(True)

    def _shift_bias(self, branch: _Branch, sign: int) -> None:
        if branch.change is None or branch.base.bias is None:
            return
        if sign > 0:
            self._pristine_bias = branch.base.bias.data
            branch.base.bias.data = self._pristine_bias + cast(Tensor, branch.change.bias).to(self._pristine_bias.dtype)
        else:
            branch.base.bias.data = self._pristine_bias

    def _add_change(self, base: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not self._enabled or self._merge:
            return output
        change = cast(nn.Conv2d, getattr(base, _CHANGE))
        return output + change(inputs[0].to(change.weight.dtype)).to(output.dtype)


def attach(unet: nn.Module, vae: nn.Module, config: DenseConfig, seed: int) -> DenseAdapter:
    """Attach a fresh dense LoRA: 258 + 32 modules on Stable Diffusion 2.1.

    Every base parameter is frozen. Where another peft adapter stands already (the trainer's regulariser), the
    branches go inside of it, at the plain layer, so that either can be switched without the other.

    Args:
        unet: A diffusers ``UNet2DConditionModel`` (the meta device will do).
        vae: A diffusers ``AutoencoderKL``.
        config: Ranks and scale.
        seed: Decides the start of A; B starts at zero, so the model equals its base.
    """
    models = {"vae": vae, "unet": unet}
    targets = {"vae": vae_targets(vae), "unet": unet_targets(unet)}

    def wrapped(name: str, base: nn.Module) -> LoraLinear | LoraConv2d:
        in_vae = name.startswith("vae.")
        rank = config.rank_vae if in_vae and config.rank_vae is not None else config.rank
        return _wrap(base, _group(name), rank, config.alpha)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = wrap_layers(models, targets, wrapped)
    branches = {name: _Branch(layer, _group(name)) for name, layer in layers.items()}
    first = branches["unet.conv_in"].base
    if config.train_conv_in and isinstance(first, nn.Conv2d):
        first.add_module(_CHANGE, _zeros_like(first))
    return DenseAdapter(models, branches, config)


SPEC = AdapterSpec("osediff", DenseConfig(), attach, routes=False)


def unet_group(name: str) -> str:
    """Tell which of OSEDiff's three UNet adapters the module belongs to.

    Args:
        name: A module that :func:`isrbench.methods.onestep.base.targets.unet_targets` names.

    Returns:
        ``"encoder"`` (down blocks, ``conv_in``), ``"decoder"`` (up blocks, ``conv_out``) or ``"others"`` (mid block).
    """
    if "down_blocks" in name or "conv_in" in name:
        return "encoder"
    if "up_blocks" in name or "conv_out" in name:
        return "decoder"
    return "others"


def _group(name: str) -> str:
    """The name under which the published code keeps the LoRA of a layer."""
    return "default_encoder" if name.startswith("vae.") else f"default_{unet_group(name)}"


def _wrap(base: nn.Module, adapter: str, rank: int, alpha: float) -> LoraLinear | LoraConv2d:
    kind = LoraConv2d if isinstance(base, nn.Conv2d) else LoraLinear
    config = LoraConfig(r=rank, lora_alpha=cast(int, alpha), init_lora_weights="gaussian")
    layer = kind(base, adapter, config=config, r=rank, lora_alpha=cast(int, alpha))
    # Master weights stay float32 whatever the base's dtype.
    for part in (layer.lora_A, layer.lora_B):
        part.float()
    return layer


def _zeros_like(conv: nn.Conv2d) -> nn.Conv2d:
    size, stride, padding = (cast("tuple[int, int]", part) for part in (conv.kernel_size, conv.stride, conv.padding))
    change = nn.Conv2d(
        conv.in_channels, conv.out_channels, size, stride, padding,
        bias=conv.bias is not None, device=conv.weight.device,
    )  # fmt: skip
    for parameter in change.parameters():
        nn.init.zeros_(parameter)
    return change


def _cost(branch: _Branch) -> int:
    """MACs of a branch at one output position."""
    return sum(w.numel() for w in (*branch.matrices(), *([] if branch.change is None else [branch.change.weight])))
