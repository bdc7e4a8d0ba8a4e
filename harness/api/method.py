"""What a super-resolution method is to the harness. Torch-free, so that listing methods costs nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from isrbench.harness.api.containment import contained, first_line
from isrbench.harness.api.declared import check_fields, check_id, words
from isrbench.harness.api.download import TrainingNeeds
from isrbench.harness.api.metric import WeightFile
from isrbench.harness.api.result import Cost, Restored, RoutingTrace
from isrbench.harness.api.targets import load_target
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Cost",
    "Labeled",
    "Method",
    "MethodInfo",
    "MethodPlugin",
    "PreparedInPart",
    "Prepares",
    "Restored",
    "Routed",
    "RoutingTrace",
    "Runtime",
    "Untimed",
]

log = logging.getLogger(__name__)


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
    """Ids of all images of the set, also of those that ``--limit`` leaves out, or of all that are
    restored at once; empty where they are not known."""


@dataclass(frozen=True)
class MethodInfo:
    """What a person wants to know of a method before running it.

    Raises:
        TypeError: If a field is of another type.
        ValueError: If the id holds more than letters, digits and ``. _ + -``.
    """

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

    def __post_init__(self) -> None:
        check_fields(self, id=str, title=str, summary=str, license=str, citation=str, routes=bool)
        check_id(self)
        for name in ("training_data", "trained_on_metrics", "needs", "code"):
            object.__setattr__(self, name, words(self, name))


@dataclass(frozen=True)
class MethodPlugin:
    """What an ``isrbench.methods`` entry point names: metadata, options, and how to build and train it.

    The module that holds it imports no torch; ``build`` and ``train`` import what they need when called.

    Raises:
        TypeError: If a field is of another type, or ``options`` is no dataclass.
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

    def __post_init__(self) -> None:
        check_fields(self, info=MethodInfo, options=type, weights=(tuple, list))
        object.__setattr__(self, "weights", tuple(self.weights))
        if not all(isinstance(file, WeightFile) for file in self.weights):
            raise TypeError(f"MethodPlugin.weights is {self.weights!r}, but has to be a tuple of WeightFile")
        if not is_dataclass(self.options):
            raise TypeError(f"MethodPlugin.options is {self.options.__name__}, but has to be a frozen dataclass")
        odd = next((name for name in ("build", "train", "needs") if not _is_code(getattr(self, name), name)), None)
        if odd is not None:
            raise TypeError(
                f"MethodPlugin.{odd} is {getattr(self, odd)!r}, but has to be a function or 'module:function'"
            )

    def make(self, options: Any, runtime: Runtime) -> Method:
        """Build the method.

        Raises:
            UserError: If options or weights do not fit, the code that builds it fails in any way, or what it returns
                is no :class:`Method`.
        """
        with self.held("cannot be built"):
            build = load_target(self.build) if isinstance(self.build, str) else self.build
            method = build(options, runtime)
            lacking = [name for name in ("restore", "cost", "input_hash") if not callable(getattr(method, name, 0))]
        if lacking:
            raise UserError(
                f"the method {self.info.id} cannot be built: build returned a {type(method).__name__}, which has no "
                f"{' and no '.join(lacking)}",
                "CONTRIBUTING.md of isrbench says what a method has to have",
            )
        return method

    def run_training(self, argv: Sequence[str]) -> int:
        """Train the method as a command line says, and return the exit code; only where ``train`` is not None.

        Raises:
            UserError: If the code that trains cannot be imported, or returns something else; None counts as 0.
        """
        with self.held("cannot be trained"):
            train = load_target(self.train) if isinstance(self.train, str) else self.train
        assert train is not None
        code = train(argv)  # which may end by SystemExit: argparse does
        if code is not None and not isinstance(code, int):
            raise UserError(
                f"the method {self.info.id} was trained, but its trainer returned {code!r}, not an exit code",
                "report it to whoever provides the method",
            )
        return code or 0

    def training_needs(self, argv: Sequence[str]) -> TrainingNeeds:
        """Return what a training with this command line needs; only where ``needs`` is not None.

        Raises:
            UserError: If the command line does not fit, or the code fails in any way.
        """
        assert self.needs is not None
        with self.held("cannot say what its training needs"):
            needs = load_target(self.needs) if isinstance(self.needs, str) else self.needs
            found = needs(argv)
            if not isinstance(found, TrainingNeeds):
                raise TypeError(f"a {type(found).__name__}, not TrainingNeeds")
            return found

    @contextmanager
    def held(self, what: str) -> Iterator[None]:
        """Turn whatever the plugin's code raises inside the block into one line.

        Args:
            what: What the method cannot do, as in ``cannot be built``.

        Raises:
            UserError: The plugin's own, or one that says whose fault it is.
        """
        try:
            with contained():
                yield
        except UserError:
            raise
        except Exception as error:
            log.info("%s %s", self.info.id, what, exc_info=True)
            said = first_line(error)
            raise UserError(
                f"the method {self.info.id} {what}: {type(error).__name__}{f': {said}' if said else ''}",
                "isrbench --verbose before the same words shows where; report it to whoever provides the method",
            ) from error


def _is_code(value: Any, name: str) -> bool:
    return callable(value) or (value is None and name != "build") or (isinstance(value, str) and ":" in value)
