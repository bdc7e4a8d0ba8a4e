"""What every method has to hold, ours or anyone's, tried on tiny images of noise."""

from __future__ import annotations

import dataclasses
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isrbench.harness.api.batch import Batches
from isrbench.harness.api.method import Cost, Labeled, MethodPlugin, Prepares
from isrbench.harness.api.options import describe_options, options_key
from isrbench.harness.api.registry import Registry, methods
from isrbench.harness.engine.contract.check import (
    Broken,
    Checked,
    Checks,
    Skipped,
    carry_out,
    expect,
    process_left_alone,
)
from isrbench.harness.engine.contract.routing import ROUTING_CHECKS
from isrbench.harness.engine.contract.subject import SEED, SIZES, Subject, noise, subject_of
from isrbench.harness.engine.plan import code_version
from isrbench.harness.identity import code_modules
from isrbench.harness.imaging.images import to_pixels, write_png

if TYPE_CHECKING:
    pass

HEAVY = ("torch", "diffusers", "spandrel", "transformers", "open_clip", "tensorflow", "jax")
"""Libraries that a module which only declares a method must not import: ``isrbench list`` would wait for them."""
_LISTS = """
import json, sys
from isrbench.harness.api.options import describe_options
from isrbench.harness.api.registry import methods
found = {}
for name in sys.argv[2:]:
    describe_options(methods().get(name).options)
    found[name] = sorted(set(json.loads(sys.argv[1])) & set(sys.modules))
print(json.dumps(found))
"""


def check_method(
    name: str,
    options: Mapping[str, str] | None = None,
    scale: int = 4,
    device: str = "cpu",
    registry: Registry[MethodPlugin] | None = None,
) -> list[Checked]:
    """Carry out all METHOD_CHECKS on an installed method, or on a card of a network (.toml).

    Args:
        name: Its id, or the card.
        options: As texts, as behind ``-o``.
        scale: Upscaling factor.
        device: Torch device string, or ``auto``.
        registry: Where the method is looked up; None = the installed methods.

    Raises:
        UserError: If there is no such method, or it cannot be loaded or built.
    """
    plugin = (methods() if registry is None else registry).get(name)
    return carry_out(METHOD_CHECKS, subject_of(plugin, options or {}, scale, device))


def imported_by(names: Sequence[str]) -> dict[str, list[str]]:
    """Return which of HEAVY are imported, by method, once a process of its own has loaded these plugins in turn."""
    command = [sys.executable, "-c", _LISTS, json.dumps(HEAVY), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and not line.lstrip().startswith("fix:")]
        raise Broken(f"a process that only loads the plugin fails: {(said or [''])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _metadata(subject: Subject) -> None:
    info = subject.plugin.info
    expect(bool(info.title and info.license), "title and license have to say something")
    expect(info.summary.endswith(".") and "\n" not in info.summary, "summary has to be one sentence, on one line")


def _citation(subject: Subject) -> None:
    citation = subject.plugin.info.citation
    if not citation:
        raise Skipped("none is given: bibliographies will lack it")
    expect(citation.startswith("@"), "citation has to be BibTeX, which begins with @")
    expect(citation.count("{") == citation.count("}"), "citation has braces without a partner")


def _options(subject: Subject) -> None:
    rows = describe_options(subject.plugin.options)
    lacking = [row.name for row in rows if not row.help]
    expect(not lacking, f'no metadata={{"help": ...}}: {", ".join(lacking)}')
    deciding = {f.name for f in dataclasses.fields(subject.plugin.options) if f.metadata.get("result", True)}
    expect(set(options_key(subject.options)) == deciding <= {row.name for row in rows}, "an option has no key")
    json.dumps(options_key(subject.options))
    try:
        subject.options.any_field = 1
    except AttributeError:
        return
    raise Broken("options have to be frozen: @dataclass(frozen=True)")


def imports_no_heavy_library(subject: Subject) -> None:
    """Check the module that declares a method, in a process of its own.

    Raises:
        Broken: If it imports one of HEAVY.
        Skipped: If the method is no installed one.
    """
    name = subject.plugin.info.id
    if methods().find(name) is not subject.plugin:
        raise Skipped("the method is no installed one")
    found = imported_by([name])[name]
    expect(not found, f"it imports {', '.join(found)}: import that where `build` does, or name `build` by a text")


def _pickles(subject: Subject) -> None:
    described = (subject.plugin.info, subject.options)
    expect(pickle.loads(pickle.dumps(described)) == described, "info or options come back as others")


def _identity(subject: Subject) -> None:
    code_version(subject.plugin)  # raises where a module of it has no source
    build = subject.plugin.build
    home = build.partition(":")[0] if isinstance(build, str) else build.__module__
    expect(home in code_modules(build), f"the module of build, {home}, is no part of it")


def _sizes(subject: Subject) -> None:
    import torch

    for image, (height, width) in SIZES.items():
        lr = noise(image)
        try:
            given = subject.method.restore(lr, image=image, seed=5)
            restored = subject.restored(image, seed=5)
        except Exception as error:
            said = f"{image}, {height}x{width}: {error}"
            raise Broken(said.splitlines()[0]) from error
        expect(torch.equal(lr, noise(image)), f"{image}: the LR that it was handed is changed")
        routes = subject.plugin.info.routes
        expect(
            (restored.trace is not None) == routes,
            f"{image}: MethodInfo.routes is {routes}, and a trace is {'not ' * routes}returned",
        )
        expect(given.image.dtype == torch.float32, f"{image}: {given.image.dtype} instead of torch.float32")
        expect(not given.image.requires_grad, f"{image}: gradients are kept; decorate restore with torch.no_grad()")
        low, high = float(given.image.min()), float(given.image.max())
        expect(low >= 0 and high <= 1, f"{image}: values from {low:.4g} to {high:.4g}; clamp them to [0, 1]")


def _repeats(subject: Subject) -> None:
    import torch

    first = subject.restored("odd")
    torch.manual_seed(1234)
    subject.restored("square", seed=4)
    again = subject.restored("odd")
    same = torch.equal(first.image, again.image) and first.trace == again.trace
    expect(same, "an image is another one after a second image was restored, or under another global seed")


def _another_instance(subject: Subject) -> None:
    import torch

    again = subject.plugin.make(subject.options, subject.runtime)
    subject.restored("odd")
    same = torch.equal(subject.restored("thin").image, subject.restored("thin", method=again).image)
    expect(same, "a method built anew from the same options gives another image")


def _batches(subject: Subject) -> None:
    import torch

    method = subject.method
    if not isinstance(method, Batches):
        raise Skipped("the method has no restore_batch")
    seeds = (SEED, SEED + 1)
    lrs = torch.stack([noise("square"), noise("square").flip(2)])
    alone = [method.restore(lr, image="square", seed=seed) for lr, seed in zip(lrs, seeds, strict=True)]
    together = method.restore_batch(lrs, images=["square"] * 2, seeds=seeds)
    expect(len(together) == 2, f"{len(together)} results for a batch of 2")
    for place, (one, other) in enumerate(zip(together, alone, strict=True)):
        same = one.image.shape == other.image.shape and one.trace == other.trace
        expect(same, f"image {place} of a batch of 2 has another shape or trace than alone")
        levels = 255 * float((one.image - other.image).abs().mean())
        expect(levels <= 1, f"image {place} of a batch of 2 differs from itself alone by {levels:.3g} grey levels")


def _process(subject: Subject) -> None:
    with process_left_alone():
        subject.restored("odd")


def _prepares(subject: Subject) -> None:
    import torch

    if not isinstance(subject.method, Prepares):
        raise Skipped("the method has no prepare")
    before = subject.restored("odd").image
    with tempfile.TemporaryDirectory(prefix="isrbench-check-") as folder:
        for image in SIZES:
            write_png(Path(folder, f"{image}.png"), to_pixels(noise(image)))
        subject.method.prepare([(image, Path(folder, f"{image}.png")) for image in SIZES])
        after = subject.restored("odd").image
    expect(torch.equal(before, after), "an image is another one after prepare")


def _hashes(subject: Subject) -> None:
    method, again = subject.method, subject.plugin.make(subject.options, subject.runtime)
    for what, one, other in [
        ("weights_hash", method.weights_hash, again.weights_hash),
        *((f"input_hash('{image}')", method.input_hash(image), again.input_hash(image)) for image in SIZES),
    ]:
        expect(isinstance(one, str), f"{what} is a {type(one).__name__}, not a text")
        expect(one == other, f"{what} differs between two methods of the same options")


def _variant(subject: Subject) -> None:
    if not isinstance(subject.method, Labeled):
        raise Skipped("the method has no variants")
    variant = subject.method.variant
    expect(isinstance(variant, str) and "\n" not in variant, f"variant is {variant!r}, not a word")


def _cost(subject: Subject) -> None:
    small, large = subject.method.cost(16, 16), subject.method.cost(32, 32)
    for cost in (small, large):
        expect(isinstance(cost, Cost), f"cost returned a {type(cost).__name__}, not a Cost")
    if small.macs is None or large.macs is None:
        expect(small.macs is large.macs, "MACs are known of one size and not of another")
    else:
        grow = large.macs > small.macs > 0 or large.macs == small.macs == 0
        expect(grow, f"MACs of 16x16 are {small.macs}, of 32x32 {large.macs}")
    expect(small.params_total == large.params_total, "the parameters depend on the image's size")


METHOD_CHECKS: Checks[Subject] = {
    "title, license and summary are there": _metadata,
    "the citation is BibTeX": _citation,
    "options have a help text, a key, and are frozen": _options,
    "the module that declares it imports no heavy library": imports_no_heavy_library,
    "facts and options can be sent to another process": _pickles,
    "the code that builds it is part of a run's identity": _identity,
    "every size is restored exactly, in [0, 1]": _sizes,
    "an image depends on its LR and its seed only": _repeats,
    "a method built again restores the same": _another_instance,
    "in a batch an image is what it is alone, up to rounding": _batches,
    "the process is left as it was": _process,
    "preparing changes no result": _prepares,
    "hashes are texts, the same for another instance": _hashes,
    "a variant is a word": _variant,
    "cost grows with the image, or is openly unknown": _cost,
    **ROUTING_CHECKS,
}
"""What has to hold, in words, and the function that finds out."""
