"""What a super-resolution method is to the harness. Torch-free, so that listing methods costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from isrbench.harness.api.download import TrainingNeeds
from isrbench.harness.api.metric import WeightFile
from isrbench.harness.api.targets import load_target

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
            object.__setattr__(self, name, tuple(_count(name, value) for value in _entries(name, getattr(self, name))))
        for name in ("macs", "params"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else _count(name, value))
        if not len(self.layers) == len(self.active) == len(self.zero):
            raise ValueError("a routing trace needs one active and one zero count per layer")
        if not self.layers:
            raise ValueError("a routing trace of no layers says nothing: return Restored(image) without one")

    @property
    def mean_active(self) -> float:
        """Return the mean of the active experts over the layers."""
        return sum(self.active) / len(self.active)


def _entries(name: str, values: Any) -> Iterable[Any]:
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(f"{name} of a routing trace is a {type(values).__name__}, not one entry per layer") from None


def _names(layers: Any) -> tuple[str, ...]:
    names = _entries("layers", layers)
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None or isinstance(layers, str):
        raise ValueError(f"layers of a routing trace holds {odd or layers!r}; names of layers are wanted")
    for name in names:
        name.encode()  # a lone surrogate raises a ValueError here, and not when the row is written
    return tuple(map(str, names))


def _count(name: str, value: Any) -> int:
    try:
        number = index(value)
    except (TypeError, RuntimeError, ValueError):  # torch raises what it likes on tensors of several values
        raise ValueError(f"{name} of a routing trace holds {value!r}; an integer is wanted") from None
    if not 0 <= number < 2**63:
        raise ValueError(f"{name} of a routing trace holds {number}; it has to lie in 0 to 2**63 - 1")
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
    """Cost of restoring one image. One multiply-accumulate is two FLOPs; both are named, never mixed."""

    macs: int | None
    """Multiply-accumulates for the whole image, or None where they cannot be counted (external programs)."""
    params_total: int | None
    """All parameters that take part."""
    params_trainable: int | None = None
    """Parameters that this method trains on top of its base."""
    params_active: int | None = None
    """Parameters that touch one image (differs from the total only for methods that route)."""

    @property
    def flops(self) -> int | None:
        """Return the floating-point operations, 2 x MACs."""
        return None if self.macs is None else 2 * self.macs


class Method(Protocol):
    """A method that is ready to run: built once a run, then asked image by image.

    A result depends on the arguments of ``restore`` and the options only, never on earlier calls.
    """

    weights_hash: str
    """Identifies everything outside the options that decides every image: a hash of the weights for a network, ""
    where there is nothing. Part of a run's identity."""

    def restore(self, lr: Tensor, *, image: str, seed: int) -> Restored:
        """Restore one image; pads, crops and tiles inside.

        Args:
            lr: float32 (3, H, W) in [0, 1], RGB, on the CPU.
            image: The image's id (its file stem); most methods do not need it.
            seed: This image's own seed; any randomness comes from it alone.

        Returns:
            An image of exactly (3, scale*H, scale*W).
        """
        ...

    def cost(self, height: int, width: int) -> Cost:
        """Return the cost of one LR image of ``height`` x ``width`` pixels."""
        ...

    def input_hash(self, image: str) -> str:
        """Identify what ``image`` has of its own besides its LR: the hash of its file for ``folder``, its prompt.

        Returns:
            "" for methods whose images have no input of their own. Part of a run's identity.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """A method that wants to see the whole list of images once before the first ``restore``."""

    def prepare(self, images: Sequence[tuple[str, Path]]) -> None:
        """Get ready for these (image id, LR file) pairs; only those that will really be restored.

        Raises:
            PreparedInPart: On an interruption, where ``restore`` can still return some of the images.
        """
        ...


class PreparedInPart(KeyboardInterrupt):
    """Raised by ``prepare`` when it is interrupted: these images are kept before the run ends.

    Args:
        images: Their ids.
    """

    def __init__(self, images: Sequence[str]) -> None:
        super().__init__()
        self.images = tuple(images)


@runtime_checkable
class Untimed(Protocol):
    """A method whose time and memory would say nothing: its work is done elsewhere, or by another program."""

    untimed: str
    """Why it is not measured, in words for the log."""


@runtime_checkable
class Labeled(Protocol):
    """A method that runs in a variant which its title has to name, such as the tiny weights that ship."""

    variant: str
    """A word for the title, such as ``tiny``: tables show ``MoR-SR (tiny)``. "" for the method as published."""


@runtime_checkable
class Routed(Protocol):
    """A method that routes and can be routed otherwise, which is what `isrbench study routing` asks of it.

    Its options hold as many of these as it can offer: ``severities`` (a CSV file with a column ``image`` and one for
    each of DIMENSIONS, read in place of what it estimates; part of ``input_hash``), ``active`` (the number of active
    experts of every image in every layer) and ``adapter_off`` (true: no expert at all).
    """

    def severity(self, lr: Tensor, *, image: str) -> Tensor:
        """Return what routes this image: float32 (7,) in [0, 1] on the CPU, in the order of DIMENSIONS."""
        ...

    def active_counts(self) -> tuple[int, ...]:
        """Return the numbers that the option ``active`` takes, rising; empty where it takes none."""
        ...


@dataclass(frozen=True)
class Runtime:
    """What the harness decides for every method."""

    scale: int = 4
    """Upscaling factor that the dataset asks for."""
    device: str = "cpu"
    """Torch device string."""
    images: tuple[str, ...] = ()
    """Ids of all images of the set, also of those that ``--limit`` leaves out; empty where there is no set."""


@dataclass(frozen=True)
class MethodInfo:
    """What a person wants to know of a method before running it."""

    id: str
    title: str
    summary: str
    """One sentence."""
    license: str
    """SPDX id of code and weights, or words where none fits."""
    citation: str = ""
    """BibTeX, or empty."""
    training_data: tuple[str, ...] = ()
    """Names of the image sets that the shipped or published weights were trained on."""
    trained_on_metrics: tuple[str, ...] = ()
    """Ids of metrics that the published weights were trained on: a loss, a reward or the choice of weights used them,
    or the same metric with another backbone. Pixel losses do not count. Reports mark these columns."""
    needs: tuple[str, ...] = ()
    """What has to be there besides the package, in words: weights, a program, a GPU."""
    routes: bool = False
    """Whether ``restore`` returns a routing trace."""
    code: tuple[str, ...] = ()
    """Further importable packages or modules whose source decides the result (part of a run's identity)."""


@dataclass(frozen=True)
class MethodPlugin:
    """What an ``isrbench.methods`` entry point names: metadata, options, and how to build and train it.

    The module that holds it imports no torch; ``build`` and ``train`` import what they need when called.
    """

    info: MethodInfo
    options: type[Any]
    """A frozen dataclass: each field an option with type, default and ``metadata={"help": ...}``
    (see :func:`isrbench.harness.api.options.parse_options`)."""
    build: Callable[[Any, Runtime], Method] | str
    """``build(options, runtime)``, or where it is: ``"module:function"``. Raises UserError where options or weights do
    not fit. What decides a run's identity follows from it: of a name the module and all that it imports of its own
    package and of isrbench, of a function the whole package that defines it."""
    train: Callable[[Sequence[str]], int] | str | None = None
    """``train(argv) -> exit code``, or where it is: everything behind ``isrbench train --method ID`` is handed on.
    Part of no identity."""
    needs: Callable[[Sequence[str]], TrainingNeeds] | str | None = None
    """``needs(argv) -> TrainingNeeds``, or where it is: what ``isrbench fetch training`` gets before ``train(argv)``
    runs; the arguments are the same, and ``--data`` may be left out. Part of no identity."""
    weights: tuple[WeightFile, ...] = ()
    """What ``isrbench fetch weights --method ID`` downloads. Part of no identity: ``Method.weights_hash`` is."""

    def make(self, options: Any, runtime: Runtime) -> Method:
        """Build the method.

        Raises:
            UserError: If options or weights do not fit.
        """
        build = load_target(self.build) if isinstance(self.build, str) else self.build
        return build(options, runtime)

    def run_training(self, argv: Sequence[str]) -> int:
        """Train the method as a command line says, and return the exit code; only where ``train`` is not None."""
        train = load_target(self.train) if isinstance(self.train, str) else self.train
        assert train is not None
        return train(argv)

    def training_needs(self, argv: Sequence[str]) -> TrainingNeeds:
        """Return what a training with this command line needs; only where ``needs`` is not None.

        Raises:
            UserError: If the command line does not fit.
        """
        needs = load_target(self.needs) if isinstance(self.needs, str) else self.needs
        assert needs is not None
        return needs(argv)
