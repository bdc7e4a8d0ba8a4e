"""From a request to a plan: whatever is wrong with what the user asked for is found here, before any compute."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isrbench.harness.api.batch import Batches
from isrbench.harness.api.containment import contained
from isrbench.harness.api.dataset import MAX_SCALE, Card, Pair
from isrbench.harness.api.method import Labeled, Method, MethodPlugin, Runtime
from isrbench.harness.api.options import options_key
from isrbench.harness.api.records import Failure
from isrbench.harness.api.registry import Registry
from isrbench.harness.api.registry import methods as installed
from isrbench.harness.api.registry import metrics as installed_metrics
from isrbench.harness.api.steps import steps
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import content_hash, image_ids, load_pairs
from isrbench.harness.engine.arguments import device_of
from isrbench.harness.engine.memory import ON_OOM
from isrbench.harness.engine.remote import method_options
from isrbench.harness.engine.request import Request
from isrbench.harness.errors import UserError
from isrbench.harness.identity import code_hash, code_modules, image_seed, import_closure, package_modules
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.metrics.sets import DEFAULT_METRICS, expand
from isrbench.harness.severity.estimator import Estimator, get_estimator

RELEASES = (
    "torch", "torchvision", "diffusers", "transformers", "peft", "open_clip_torch", "pillow", "numpy", "spandrel",
)  # fmt: skip
"""Libraries whose release can change a restored image."""
RESTORING = "isrbench.harness.engine.restoring"
"""The module that hands an image to a method and writes what comes back."""


@dataclass(frozen=True)
class Plan:
    """A request that has been checked, with everything built that it needs."""

    request: Request
    plugin: MethodPlugin
    options: Any
    method: Method
    card: Card
    pairs: tuple[Pair, ...]
    whole: tuple[str, ...]
    """Ids of the whole set."""
    scorer: Scorer
    estimator: Estimator | None
    device: str
    inputs: tuple[tuple[str, str], ...]
    """(image, hash of what it has of its own besides its LR), in the order of ``pairs``."""
    variant: str
    """The method's variant, such as ``tiny``; "" for the method as published."""
    weights_hash: str
    """As the method says."""
    identity: str
    """sha256 that two plans share only if they must give the same images."""
    faults: Mapping[str, Exception] = field(default_factory=dict)
    """Why the method cannot say what an image has of its own, by image: these images fail."""
    notes: tuple[str, ...] = ()
    """What is not scored although it usually is, a line each."""

    @property
    def name(self) -> str:
        """Return what rows call the method."""
        return self.request.name or self.plugin.info.id

    @property
    def title(self) -> str:
        """Return what tables call the method: ``--name``, or its title, with its variant."""
        title = self.plugin.info.title if self.request.name is None else self.request.name
        return f"{title} ({self.variant})" if self.variant else title


def make_plan(request: Request, methods: Registry[MethodPlugin] | None = None) -> Plan:
    """Check a request and build method, pairs, scorer and estimator.

    Args:
        request: What is asked for.
        methods: Where the method is looked up; None = the installed methods.

    Raises:
        UserError: For anything the user can fix.
    """
    known = installed() if methods is None else methods
    _check(request, known)
    plugin = known.get(request.method)
    options = method_options(plugin, request.options)
    for id in expand(request.metrics or ()):  # a mistyped metric is found before anything is loaded
        installed_metrics().get(id)
    card = find_card(request.dataset, scale=request.scale, hr_crop=request.hr_crop, data_root=request.data_root)
    steps.info("loading %s%s...", plugin.info.id, "" if request.device == "auto" else f" on {request.device}")
    device = device_of(request.device)
    asked = Scorer(request.metrics or (), device)
    steps.info("reading the images of %s...", card.id)
    pairs = tuple(load_pairs(card, request.data_root, limit=request.limit, sample=request.sample, seed=request.seed))
    scorer, notes = (asked, ()) if request.metrics is not None else _default_scorer(pairs, card.scale, device)
    estimator = None if request.estimator == "none" else get_estimator(request.estimator, device)
    if estimator is not None:
        estimator.check()
    whole = tuple(image_ids(card, request.data_root))
    method = plugin.make(options, Runtime(scale=card.scale, device=device, images=whole))
    if request.batch > 1 and not isinstance(method, Batches):
        raise UserError(f"{plugin.info.id} restores one image at a time", "leave --batch out")
    inputs, faults = _input_hashes(method, pairs)
    weights_hash = _text_of(plugin, "weights_hash", lambda: method.weights_hash)
    variant = _text_of(plugin, "variant", lambda: method.variant if isinstance(method, Labeled) else "")
    decisive = {
        "method": plugin.info.id,
        "options": options_key(options),
        "code": _code_of(plugin),
        "weights": weights_hash,
        "device": device.partition(":")[0],
        "dataset": card.id,
        "scale": card.scale,
        "content": content_hash(pairs),
        "inputs": [(image, own, image_seed(request.seed, image)) for image, own in inputs],
    }
    if request.on_oom != "skip":  # said of these alone, so that the identities of others stay what they were
        decisive["on_oom"] = request.on_oom
    if request.batch > 1:
        decisive["batch"] = request.batch
    identity = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    return Plan(
        request=request,
        plugin=plugin,
        options=options,
        method=method,
        card=card,
        pairs=pairs,
        whole=whole,
        scorer=scorer,
        estimator=estimator,
        device=device,
        inputs=inputs,
        variant=variant,
        weights_hash=weights_hash,
        identity=identity,
        faults=faults,
        notes=notes,
    )


def _code_of(plugin: MethodPlugin) -> str:
    try:
        return code_version(plugin)
    except ModuleNotFoundError as error:
        raise UserError(
            f"the method {plugin.info.id} has no identity: {error}",
            "install its package with its source, and check `build` and `MethodInfo.code`",
        ) from error


def code_version(plugin: MethodPlugin) -> str:
    """Return the sha256 of all code that takes part in restoring one image, and of its libraries' releases.

    Part of a run's identity, so that a result of older code is never served as today's. Training, benches, reports, the
    command line, and a plugin's title and citation are no part of it.
    """
    modules = {*import_closure(RESTORING), *code_modules(plugin.build)}
    for package in plugin.info.code:
        modules.update(package_modules(package))
    return code_hash(modules, RELEASES)


def _default_scorer(pairs: Sequence[Pair], scale: int, device: str) -> tuple[Scorer, tuple[str, ...]]:
    """Return a scorer of the default metrics that every image is large enough for, and notes on the others.

    Nobody asked for them by name: no gigabytes are downloaded for them.
    """
    least = scale * min(min(pair.size) for pair in pairs)
    sides = {id: installed_metrics().get(id).min_side for id in DEFAULT_METRICS}
    notes = tuple(
        f"{id} is left out: it needs sides of {side} pixels, and images here have {least}"
        for id, side in sides.items()
        if side > least
    )
    return Scorer([id for id, side in sides.items() if side <= least], device, download=False), notes


def _check(request: Request, methods: Registry[MethodPlugin]) -> None:
    """Refuse what can be refused without looking at files."""
    methods.get(request.method)
    if request.name is not None:
        check_name(request.name, request.method, methods)
    if request.workers is not None and request.workers < 1:
        raise UserError(f"--workers {request.workers} is below 1", "leave the option out, or choose 1 or more")
    if request.batch < 1:
        raise UserError(f"--batch is {request.batch}", "choose 1 or more")
    if request.on_oom not in ON_OOM:
        raise UserError(f"--on-oom is {request.on_oom}", f"one of {', '.join(ON_OOM)}")
    if request.hr_severity and request.estimator == "none":
        raise UserError("--hr-severity needs an estimator, but --estimator is none", "leave --estimator out")
    whole = isinstance(request.scale, int) or request.scale is None  # Python code may pass any number
    if not whole or (request.scale is not None and not 1 <= request.scale <= MAX_SCALE):
        raise UserError(f"--scale is {request.scale}", f"choose a whole number from 1 to {MAX_SCALE}")
    if request.hr_crop not in {None, "modulo"}:
        raise UserError(f"--hr-crop is {request.hr_crop}", "--hr-crop modulo, or leave it out")
    if request.metrics is not None and not request.metrics:
        raise UserError("--metrics names no metric", "--metrics psnr,ssim, or leave the option out for the default set")


def check_name(name: str, method: str, methods: Registry[MethodPlugin], option: str = "--name ") -> None:
    """Refuse what tables cannot call a method, or by which they call another; readers do not see capital letters.

    Args:
        name: What they would call it.
        method: Its id.
        methods: All methods.
        option: What named it, for messages.

    Raises:
        UserError: If the name holds other letters, or is another method's id or title.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name):
        raise UserError(f"{option}{name} holds more than letters, digits and . _ + -", f"{option}my-method".lstrip())
    ids = {id.lower() for id in methods if id != method}
    titles = {plugin.info.title.lower() for id, plugin in methods.load_all()[0].items() if id != method}
    what = "id" if name.lower() in ids else "title" if name.lower() in titles else None
    if what is not None:
        raise UserError(
            f"{option}{name} is the {what} of another method, whose place {method} would take in every table",
            f"choose another name, such as {option}{name}-2",
        )


def _text_of(plugin: MethodPlugin, what: str, ask: Callable[[], Any]) -> str:
    """Return a text that a method says of itself.

    Raises:
        UserError: If it is no text, or saying it fails.
    """
    try:
        with contained():
            text = ask()
            if not isinstance(text, str):
                raise TypeError(f"a {type(text).__name__}, not a text")
            text.encode()  # a lone surrogate raises, and not when the run is written
            return text
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the method {plugin.info.id} has no {what}: {Failure.of(error).brief}",
            "report it to whoever provides the method",
        ) from error


def _input_hashes(method: Method, pairs: Sequence[Pair]) -> tuple[tuple[tuple[str, str], ...], dict[str, Exception]]:
    """(image, hash of its own input), and by image why there is none: it fails one image, and must not stop the others.

    The reason stands in place of the hash, so that the run is another one as soon as the input is there.
    """
    hashes, faults = [], {}
    for pair in pairs:
        try:
            with contained():
                own = method.input_hash(pair.id)
            if not isinstance(own, str):
                raise TypeError(f"input_hash must return a text, not {type(own).__name__}")
            own.encode()
        except Exception as error:
            faults[pair.id] = error
            own = f"error: {error.message if isinstance(error, UserError) else error}"
        hashes.append((pair.id, own))
    return tuple(hashes), faults
