"""What a one-step method adds to the frozen base: the one place where the family's methods differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.onestep.base.diffusion import Prediction
from isrbench.methods.onestep.base.targets import base_name, wrapped_name

if TYPE_CHECKING:
    from isrbench.harness.api.method import RoutingTrace

W = TypeVar("W", bound=nn.Module)


class Adapter(Protocol):
    """Trainable branches attached to a UNet and a VAE encoder, steered as one.

    Attached by the ``attach(unet, vae, config, seed)`` of its :class:`AdapterSpec`. The base weights stay frozen
    and bit-identical. With the branches freshly attached or disabled the model equals its base. An adapter starts
    enabled and ready for training.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the adapted modules in the order of execution: ``vae.`` or ``unet.`` and the module's dotted name."""
        ...

    def route(self, severity: Tensor | None) -> None:
        """Decide the routing of every following forward pass, for all layers at once, before the UNet runs.

        Args:
            severity: float32 (B, 7) in [0, 1], one row per image; tiles of one image share its row. A dense
                adapter ignores it and accepts None.
        """
        ...

    def set_enabled(self, enabled: bool) -> None:
        """Switch all branches on or off; off = the plain base (teacher, regulariser base, GAN features)."""
        ...

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by stable name."""
        ...

    def hits(self, severity: Tensor | None) -> Tensor | None:
        """Count how ``route`` would route these images, leaving the last route as it is.

        Args:
            severity: As ``route`` takes it.

        Returns:
            float32 (layers, targets), whole numbers: how many images pick each target. They add up over the parts of a
            batch. None for adapters that do not route.
        """
        ...

    def balance_loss(self, hits: Tensor | None = None) -> Tensor:
        """Return the load-balancing loss of the last ``route``: a scalar, 0 for adapters that do not route.

        Args:
            hits: What ``hits`` counts in the whole batch that the last route is a part of; None = it is the whole.
        """
        ...

    def traces(self) -> tuple[RoutingTrace, ...] | None:
        """Return the routing of each image of the last ``route``, or None for adapters that do not route."""
        ...

    def for_inference(self, *, merge: bool = True) -> None:
        """Choose the fastest exact execution (merge a dense LoRA, fold a routed one) until ``for_training``.

        Args:
            merge: False computes the branches that are on beside the base, which is what their MACs are counted for.
        """
        ...

    def for_training(self) -> None:
        """Undo ``for_inference``: run the branches apart from the base, with gradient."""
        ...

    def detach(self) -> None:
        """Put the base's own modules back; the adapter cannot be used afterwards."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that has to be saved, by stable name, on the CPU."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load what ``state_dict`` returned.

        Raises:
            UserError: If names or shapes do not fit; names the first that does not.
        """
        ...

    def macs(self, positions: Mapping[str, int], image: int = 0) -> int:
        """Count the MACs of the active branches of one image of the last route, run apart from the base.

        Args:
            positions: For every name in ``layers``: how many output positions (tokens of a linear map, output pixels
                of a convolution) it computes for one image, over all forward passes (tiles).
            image: Its row in the last route.
        """
        ...

    def folding_macs(self) -> int:
        """Count the MACs of merging the branches for the last route's first image; 0 where one merge serves all."""
        ...

    def active_parameters(self, image: int = 0) -> int:
        """Return how many adapter parameters touch the image in this row of the last route."""
        ...


@runtime_checkable
class FixedActive(Protocol):
    """An adapter that routes, and whose number of active experts can be fixed."""

    @property
    def active_counts(self) -> tuple[int, ...]:
        """The numbers that ``fix_active`` takes, rising; counted as ``RoutingTrace.active``."""
        ...

    def fix_active(self, count: int | None) -> None:
        """From the next ``route`` on, give every image ``count`` active experts in every layer; None = as routed.

        Args:
            count: The shared ones, then the most probable real ones. No zero slot is picked.

        Raises:
            UserError: If ``count`` is none of ``active_counts``.
        """
        ...


Estimators = Callable[[str, str, "float | None"], Estimator]
"""``(spec, device, logit_scale) -> estimator``: :func:`isrbench.harness.severity.estimator.get_estimator`."""


@dataclass(frozen=True)
class AdapterSpec:
    """What the family knows of a method: its name and its adapter."""

    id: str
    """The method's id; written into adapter files."""
    default: Any
    """Its default config: a frozen dataclass of JSON values that checks itself and has ``from_json``."""
    attach: Callable[[nn.Module, nn.Module, Any, int], Adapter]
    """``attach(unet, vae, config, seed)``."""
    routes: bool = True
    """Whether it reads the severity; a dense adapter needs no estimator."""
    prediction: Prediction | None = None
    """What the adapted UNet predicts; None = what its base does."""
    source: str = ""
    """Where the authors' adapter and its base are to be had, in words; "" where an adapter ships for the tiny base."""
    files: tuple[str, ...] = ()
    """What is read of an adapter that is a folder, by path inside it."""


class BaseAdapter(ABC):
    """What every adapter does alike: it wraps modules of frozen models, has a state, and can be taken off again.

    What an :class:`Adapter` says of routing is here the answer of one that does not route.

    Args:
        models: ``vae`` and ``unet``.
        wrappers: The modules that stand around the base's own, by layer name, as :func:`wrap_layers` returns them.
    """

    def __init__(self, models: Mapping[str, nn.Module], wrappers: Mapping[str, nn.Module]) -> None:
        self._models = models
        self._wrappers = wrappers

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the adapted modules: ``vae.`` or ``unet.`` and the module's dotted name."""
        return tuple(self._wrappers)

    def route(self, severity: Tensor | None) -> None:  # noqa: B027
        """Do nothing: nothing is routed."""

    def hits(self, severity: Tensor | None) -> Tensor | None:
        """Return None: nothing is routed."""
        return None

    def balance_loss(self, hits: Tensor | None = None) -> Tensor:
        """Return zero: nothing is routed."""
        return next(iter(self.parameters().values())).new_zeros(())

    def traces(self) -> tuple[RoutingTrace, ...] | None:
        """Return None: nothing is routed."""
        return None

    def folding_macs(self) -> int:
        """Return zero: merged once for all images."""
        return 0

    def active_parameters(self, image: int = 0) -> int:
        """Return the number of all parameters."""
        return sum(parameter.numel() for parameter in self.parameters().values())

    @abstractmethod
    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters by stable name."""

    @abstractmethod
    def parameters_changed(self) -> None:
        """Do again what was computed from the parameters, such as merged weights."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of all parameters by stable name, on the CPU."""
        return {name: parameter.detach().cpu().clone() for name, parameter in self.parameters().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what ``state_dict`` returned; each value is cast to the parameter's own dtype.

        Raises:
            UserError: If names or shapes do not fit this base and config; names the first that does not.
        """
        parameters = self.parameters()
        _check_state(state, parameters)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(state[name])
        self.parameters_changed()

    def detach(self) -> None:
        """Put the base's own modules back, bit-identical."""
        ours = {id(wrapper) for wrapper in self._wrappers.values()}
        for model in self._models.values():
            found = [(p, n, m) for p in model.modules() for n, m in p.named_children() if id(m) in ours]
            for parent, name, wrapper in found:
                setattr(parent, name, getattr(wrapper, str(wrapped_name(wrapper))))


def wrap_layers(
    models: Mapping[str, nn.Module],
    targets: Mapping[str, Iterable[str]],
    wrap: Callable[[str, nn.Module], W],
) -> dict[str, W]:
    """Freeze models and put a wrapper around each target; nothing is changed where one cannot be made.

    Where a peft adapter is there already (the trainer's regulariser), a wrapper goes inside of it, around the plain
    layer, so that either can be switched without the other; its parameters stay trainable.

    Args:
        models: ``vae`` and ``unet``; wrappers are made in this order.
        targets: Names of the modules to wrap, by model.
        wrap: Makes the wrapper of a layer (``unet.conv_in``) from its module, which the wrapper keeps as ``base`` or
            ``base_layer``.

    Returns:
        The wrappers by layer name.
    """
    wrappers: dict[str, W] = {}
    places: list[tuple[nn.Module, str]] = []
    for part, model in models.items():
        for name in targets[part]:
            place = base_name(model, name)
            wrappers[f"{part}.{name}"] = wrap(f"{part}.{name}", model.get_submodule(place))
            places.append((model, place))
    for model in models.values():
        for name, parameter in model.named_parameters():
            if "lora_" not in name:
                parameter.requires_grad_(False)
    for (model, place), wrapper in zip(places, wrappers.values(), strict=True):
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, wrapper)
    return wrappers


def _check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that a loaded state has exactly the expected names and shapes.

    Raises:
        UserError: Naming the first tensor that is missing, unknown or of another shape.
    """
    fix = "pass a checkpoint of the same config and base"
    for name, tensor in expected.items():
        if name not in state:
            raise UserError(f"the adapter's state has no '{name}'", fix)
        if state[name].shape != tensor.shape:
            raise UserError(
                f"the adapter's '{name}' is {tuple(state[name].shape)}, but the base and config need "
                f"{tuple(tensor.shape)}",
                fix,
            )
    unknown = sorted(set(state) - set(expected))
    if unknown:
        raise UserError(f"the adapter's state has '{unknown[0]}', which the base and config have no place for", fix)
