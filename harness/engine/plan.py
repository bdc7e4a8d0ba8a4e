"""From a request to a plan: whatever is wrong with what the user asked for is found here, before any compute."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.dataset import Card, Pair
from isrbench.harness.api.method import Method, MethodPlugin, Runtime
from isrbench.harness.api.options import options_key, parse_options
from isrbench.harness.api.registry import Registry, unknown_name
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import content_hash, load_pairs
from isrbench.harness.determinism import resolve_device
from isrbench.harness.engine.provenance import code_version
from isrbench.harness.errors import UserError
from isrbench.harness.identity import image_seed
from isrbench.harness.severity.estimator import Estimator

if TYPE_CHECKING:
    from isrbench.harness.metrics.scorer import Scorer


class Resume(str, Enum):
    """What to do about results that are stored already."""

    ONLY_MISSING = "only-missing"
    """Compute what is missing or failed (the default)."""
    NEVER = "never"
    """Start a new run beside the old one."""
    ONLY_CACHE = "only-cache"
    """Compute nothing; show what is stored."""


@dataclass(frozen=True)
class Request:
    """What a user asks ``eval`` for."""

    method: str
    dataset: str
    options: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    """Metric ids; None = the default set."""
    data_root: Path | None = None
    limit: int | None = None
    """Only the first N images in order of id; such a run is a run of its own."""
    runs_dir: Path = Path("runs")
    resume: Resume = Resume.ONLY_MISSING
    device: str = "auto"
    seed: int = 0
    workers: int | None = None
    """Threads that score; None = one a core. Never changes a result."""
    estimator: str = "tiny"
    """Severity estimator (:mod:`isrbench.harness.severity.clip`), or ``none``."""
    complexity: bool = True
    """Whether to count and time the method as well."""
    name: str | None = None
    """What rows and tables call the method; None = its id. Tells two folders or checkpoints apart."""
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A request that has been checked, with everything built that it needs."""

    request: Request
    plugin: MethodPlugin
    options: Any
    method: Method
    card: Card
    pairs: tuple[Pair, ...]
    scorer: Scorer
    estimator: Estimator | None
    device: str
    inputs: tuple[tuple[str, str], ...]
    """(image, hash of what it has of its own besides its LR), in the order of ``pairs``."""
    identity: str
    """sha256 that two plans share only if they must give the same images and scores."""

    @property
    def run(self) -> str:
        """The run's id: name, dataset and the head of the identity."""
        return f"{self.name}-{self.card.id}-{self.identity[:8]}"

    @property
    def name(self) -> str:
        """What rows and tables call the method."""
        return self.request.name or self.plugin.info.id


def make_plan(request: Request, methods: Registry[MethodPlugin]) -> Plan:
    """Check a request and build method, pairs, scorer and estimator.

    Raises:
        UserError: For anything the user can fix.
    """
    from isrbench.harness.metrics.scorer import Scorer
    from isrbench.harness.metrics.sets import DEFAULT_METRICS

    _check(request, methods)
    plugin = methods.get(request.method)
    options = parse_options(plugin.options, request.options)
    device = resolve_device(request.device)
    scorer = Scorer(DEFAULT_METRICS if request.metrics is None else request.metrics, device)
    card = find_card(request.dataset)
    pairs = tuple(load_pairs(card, request.data_root)[: request.limit])
    estimator = None if request.estimator == "none" else Estimator(request.estimator, device)
    if estimator is not None:
        estimator.check()
    method = plugin.make(options, Runtime(scale=card.scale, device=device))
    inputs = tuple((pair.id, _input_hash(method, pair.id)) for pair in pairs)
    decisive = {
        "method": plugin.info.id,
        "options": options_key(options),
        "code": code_version(plugin),
        "weights": method.weights_hash,
        "device": device.partition(":")[0],
        "dataset": card.id,
        "scale": card.scale,
        "content": content_hash(pairs),
        "inputs": [(image, mark, image_seed(request.seed, image)) for image, mark in inputs],
    }
    identity = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return Plan(request, plugin, options, method, card, pairs, scorer, estimator, device, inputs, identity)


def _check(request: Request, methods: Registry[MethodPlugin]) -> None:
    """Refuse what can be refused without looking at files."""
    name = request.name
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        raise UserError(f"--name {name}: letters, digits and . _ + - only", "--name my-method")
    if name is not None and name != request.method and name in methods:
        raise UserError(
            f"--name {name} is the id of another method, whose place {request.method} would take in every table",
            f"choose another name, such as --name {request.method}-2",
        )
    if request.limit is not None and request.limit < 1:
        raise UserError(f"--limit {request.limit}: at least one image", "leave the option out for the whole set")
    if request.workers is not None and request.workers < 1:
        raise UserError(f"--workers {request.workers}: at least one thread", "leave the option out for one a core")
    if request.metrics is not None and not request.metrics:
        raise UserError("--metrics names no metric", "--metrics psnr,ssim, or leave the option out for the default set")


def parse_resume(word: str) -> Resume:
    """The resume mode called ``word``.

    Raises:
        UserError: If there is none.
    """
    try:
        return Resume(word)
    except ValueError:
        raise UserError(unknown_name("resume mode", word, [r.value for r in Resume]), "--resume only-missing") from None


def _input_hash(method: Method, image: str) -> str:
    try:
        return method.input_hash(image)
    except (UserError, OSError) as error:
        # One missing file fails one image later, with this same message; it must not stop the others.
        return f"error: {error.message if isinstance(error, UserError) else error}"
