"""What it takes to trust a number later: where it came from, on what, with which code."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.options import options_key
from isrbench.harness.data.pairs import content_hash
from isrbench.harness.identity import code_hash, code_modules, import_closure, package_modules, release
from isrbench.harness.metrics.version import MetricVersion
from isrbench.harness.store.store import now

if TYPE_CHECKING:
    from isrbench.harness.api.method import MethodPlugin
    from isrbench.harness.engine.plan import Plan

MANIFEST_VERSION = 1

_PACKAGES = (
    "isrbench", "torch", "torchvision", "diffusers", "peft", "open_clip_torch", "pyiqa", "timm", "numpy", "pillow",
    "spandrel", "datasets",
)  # fmt: skip
RELEASES = (
    "torch", "torchvision", "diffusers", "transformers", "peft", "open_clip_torch", "pillow", "numpy", "spandrel",
)  # fmt: skip
"""Libraries whose release can change a restored image."""
RESTORING = "isrbench.harness.engine.restoring"
"""The module that hands an image to a method and writes what comes back."""


@cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that a result depends on."""
    return {name: found for name in _PACKAGES if (found := release(name)) is not None}


@cache
def git_state() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this code runs from; None when it is not a checkout."""
    here = Path(__file__).resolve().parents[2]

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # A wheel installed below somebody else's checkout must not be taken for that checkout.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != here:
            return None
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def code_version(plugin: MethodPlugin) -> str:
    """Return the sha256 of all code that takes part in restoring one image, and of its libraries' releases.

    Part of a run's identity, so that a result of older code is never served as today's. Training, benches, reports, the
    command line, and a plugin's title and citation are no part of it.
    """
    modules = {*import_closure(RESTORING), *code_modules(plugin.build)}
    for package in plugin.info.code:
        modules.update(package_modules(package))
    return code_hash(modules, RELEASES)


def invocation(argv: list[str] | None = None) -> dict[str, Any]:
    """This process: command line, start, machine, code and packages."""
    return {
        "argv": sys.argv if argv is None else argv,
        "start": now(),
        "end": None,
        "git": git_state(),
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def describe_run(plan: Plan, run: str) -> dict[str, Any]:
    """What stays the same for a run over all its invocations."""
    return {
        "version": MANIFEST_VERSION,
        "run": run,
        "created": now(),
        "identity": plan.identity,
        "name": plan.name,
        "method": plan.plugin.info.id,
        "title": plan.plugin.info.title if plan.request.name is None else plan.request.name,
        "routes": plan.plugin.info.routes,
        "license": plan.plugin.info.license,
        "citation": plan.plugin.info.citation,
        "options": options_key(plan.options),
        "weights": plan.method.weights_hash,
        "inputs": hashlib.sha256(json.dumps(plan.inputs).encode()).hexdigest(),
        "dataset": {
            "id": plan.card.id,
            "title": plan.card.title,
            "images": len(plan.pairs),
            "scale": plan.card.scale,
            "limit": plan.request.limit,
            "content_hash": content_hash(plan.pairs),
            "verified": plan.card.content_hash is not None,
            "license": plan.card.license,
            "protocol": plan.card.notes,
            "citation": plan.card.citation,
        },
        "seed": plan.request.seed,
        "device": plan.device,
        "metrics": {},
        "estimator": None,
        "invocations": [],
    }


def merged_definitions(stored: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """The manifest's metrics with the current ones added; where a stored value still holds, so does what is said of it.

    Args:
        stored: As the manifest has them, with the key that each was computed under.
        current: ``Scorer.definitions()``.
    """
    kept = {
        id: said
        for id, said in stored.items()
        if id not in current
        or MetricVersion.from_key(said["key"]).still_holds(MetricVersion.from_key(current[id]["key"]))
    }
    return {**stored, **current, **kept}
