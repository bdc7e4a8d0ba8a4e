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
from isrbench.harness.identity import hash_sources, release
from isrbench.harness.metrics.version import holds
from isrbench.harness.store.store import now

if TYPE_CHECKING:
    from isrbench.harness.engine.plan import Plan

MANIFEST_VERSION = 1

_PACKAGES = (
    "isrbench", "torch", "torchvision", "diffusers", "peft", "open_clip_torch", "pyiqa", "timm", "numpy", "pillow",
    "spandrel", "datasets",
)  # fmt: skip
_DECIDE_PIXELS = ("torch", "diffusers", "peft", "open_clip_torch", "pillow", "numpy", "spandrel")
"""Packages whose release can change a restored image."""
_HARNESS_SOURCES = ("imaging/images.py", "severity/clip.py", "severity/estimator.py")
"""Files of this package that can change a restored image."""


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


@cache
def code_version(packages: tuple[str, ...]) -> str:
    """sha256 over the source of ``packages``, of the harness parts that touch pixels, and their libraries' releases.

    Part of the resume key, so that a result of older code is never served as today's.
    """
    return hash_sources(packages, _HARNESS_SOURCES, _DECIDE_PIXELS)


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
        "licence": plan.plugin.info.licence,
        "citation": plan.plugin.info.citation,
        "options": options_key(plan.options),
        "weights": plan.fingerprints[0][1] if plan.fingerprints else "",
        "fingerprints": hashlib.sha256(json.dumps(plan.fingerprints).encode()).hexdigest(),
        "dataset": {
            "id": plan.card.id,
            "title": plan.card.title,
            "images": len(plan.pairs),
            "scale": plan.card.scale,
            "limit": plan.request.limit,
            "content_hash": content_hash(plan.pairs),
            "verified": plan.card.content_hash is not None,
            "licence": plan.card.licence,
            "protocol": plan.card.protocol,
            "citation": plan.card.citation,
        },
        "seed": plan.request.seed,
        "device": plan.device,
        "metrics": {},
        "estimator": None,
        "invocations": [],
    }


def merged_protocols(stored: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """The manifest's metrics with the current ones added; where a stored value still holds, so does what is said of it.

    Args:
        stored: As the manifest has them, with the key that each was computed under.
        current: :meth:`isrbench.harness.metrics.scorer.Scorer.protocols`.
    """
    kept = {id: said for id, said in stored.items() if id not in current or holds(said["key"], current[id]["key"])}
    return {**stored, **current, **kept}
