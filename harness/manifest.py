"""What it takes to trust a number later: where it came from, on what, with which code."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.options import options_key
from harness.pairs import content_hash

if TYPE_CHECKING:
    from harness.plan import Plan

MANIFEST_VERSION = 1

_PACKAGES = (
    "isrbench", "torch", "torchvision", "diffusers", "peft", "open_clip_torch", "pyiqa", "timm", "numpy", "pillow",
    "spandrel", "datasets",
)  # fmt: skip
_DECIDE_PIXELS = ("torch", "diffusers", "peft", "open_clip_torch", "pillow", "numpy", "spandrel")
"""Packages whose release can change a restored image."""
_HARNESS_SOURCES = ("images.py", "degradation.py")
"""Files of this package that can change a restored image."""


def now() -> str:
    """The time in UTC, ISO 8601, to the microsecond."""
    return datetime.now(timezone.utc).isoformat()


@cache
def package_versions() -> dict[str, str]:
    """Installed versions of the packages that a result depends on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def git_state() -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this code runs from; None when it is not a checkout."""
    here = Path(__file__).resolve().parent.parent

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
    digest = hashlib.sha256()
    harness = Path(__file__).resolve().parent
    files = [harness / name for name in _HARNESS_SOURCES if (harness / name).is_file()]
    for package in sorted(set(packages)):
        files += _sources(package)
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    for name in _DECIDE_PIXELS:
        digest.update(f"{name}={package_versions().get(name)}\n".encode())
    return digest.hexdigest()


def _sources(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(p for root in spec.submodule_search_locations for p in Path(root).rglob("*.py"))
    return [Path(spec.origin)] if spec.origin else []


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
        "weights": plan.method.fingerprint(plan.pairs[0].id) if plan.pairs else "",
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
