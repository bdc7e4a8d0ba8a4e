"""What a method returns, for one image and of its cost: numbers made plain where they come in. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RoutingTrace:
    """How one image was routed: one entry per adapted layer, in the order of execution.

    Integers of numpy and torch are taken and kept as plain ones, which is all that a store can hold.

    Raises:
        ValueError: If a name is not a text or a count not an integer from 0 to 2**63 - 1, if there is not one count of
            each kind per layer, or there is no layer.
    """

    layers: tuple[str, ...]
    """Dotted names of the adapted layers."""
    active: tuple[int, ...]
    """Active experts (shared ranks + real experts picked) per layer; of a mixture of whole LoRAs, their ranks."""
    zero: tuple[int, ...]
    """Zero slots picked per layer."""
    macs: int | None = None
    """MACs of the active experts for the whole image, as if run beside the base; None if not counted."""
    params: int | None = None
    """Parameters of the active experts and of the routers; None if not counted."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", _names(self.layers))
        for name in ("active", "zero"):
            what = f"{name} of a routing trace"
            counts = tuple(_count(what, value) for value in _entries(what, getattr(self, name)))
            object.__setattr__(self, name, counts)
        for name in ("macs", "params"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _count(f"{name} of a routing trace", value))
        if not len(self.layers) == len(self.active) == len(self.zero):
            raise ValueError("a routing trace needs one active and one zero count per layer")
        if not self.layers:
            raise ValueError("a routing trace of no layers says nothing: return Restored(image) without one")

    @property
    def mean_active(self) -> float:
        """Return the mean of the active experts over the layers."""
        return sum(self.active) / len(self.active)


def _entries(what: str, values: Any) -> Iterable[Any]:
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(f"{what} is a {type(values).__name__}, not one entry per layer") from None


def _names(layers: Any) -> tuple[str, ...]:
    names = _entries("layers of a routing trace", layers)
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None or isinstance(layers, str):
        raise ValueError(f"layers of a routing trace holds {odd or layers!r}; names of layers are wanted")
    for name in names:
        name.encode()  # a lone surrogate raises a ValueError here, and not when the row is written
    return tuple(map(str, names))


def _count(what: str, value: Any, bits: int = 63) -> int:
    try:
        number = index(value)
    except (TypeError, RuntimeError, ValueError):  # torch raises what it likes on tensors of several values
        raise ValueError(f"{what} holds {value!r}; an integer is wanted") from None
    if not 0 <= number < 2**bits:
        raise ValueError(f"{what} holds {number}; it has to lie in 0 to 2**{bits} - 1")
    return number


@dataclass(frozen=True)
class Restored:
    """What a method returns for one image."""

    image: Tensor
    """float32 (3, scale*H, scale*W) in [0, 1] on any device; the harness rounds it to 8 bits."""
    trace: RoutingTrace | None = None
    """The routing, from methods that route."""


@dataclass(frozen=True)
class Cost:
    """Cost of restoring one image. One multiply-accumulate is two FLOPs; both are named, never mixed.

    Integers of numpy and torch are taken and kept as plain ones.

    Raises:
        ValueError: If a count is not an integer from 0 to 2**63 - 1; of MACs to 2**62 - 1, so that FLOPs are one too.
    """

    macs: int | None
    """Multiply-accumulates for the whole image, or None where they cannot be counted (external programs)."""
    params_total: int | None
    """All parameters that take part."""
    params_trainable: int | None = None
    """Parameters that this method trains on top of its base."""
    params_active: int | None = None
    """Parameters that touch one image (differs from the total only for methods that route)."""

    def __post_init__(self) -> None:
        for name in ("macs", "params_total", "params_trainable", "params_active"):
            value, bits = getattr(self, name), 62 if name == "macs" else 63
            object.__setattr__(self, name, None if value is None else _count(f"{name} of a cost", value, bits))

    @property
    def flops(self) -> int | None:
        """Return the floating-point operations, 2 x MACs."""
        return None if self.macs is None else 2 * self.macs
